/** One kind of fault over real servers. `begin` resolves when it holds, `end` when what it broke serves again. */
export interface Nemesis {
  readonly name: string
  begin(): Promise<void>
  end(): Promise<void>
}
