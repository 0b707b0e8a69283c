/**
 * Texts that are made of two others and asked for again and again: at most about `most` are remembered, and then all
 * are forgotten at once.
 */
export class Remembered {
  readonly #make: (first: string, second: string) => string
  readonly #most: number
  readonly #known = new Map<string, Map<string, string>>()
  #count = 0

  constructor(make: (first: string, second: string) => string, most: number) {
    this.#make = make
    this.#most = most
  }

  of(first: string, second: string): string {
    let some = this.#known.get(first)
    const known = some?.get(second)
    if (known !== undefined) return known
    const made = this.#make(first, second)
    if (this.#count >= this.#most) {
      this.#known.clear()
      this.#count = 0
      some = undefined
    }
    if (some) some.set(second, made)
    else this.#known.set(first, new Map([[second, made]]))
    this.#count += 1
    return made
  }
}
