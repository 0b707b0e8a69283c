interface Door {
  /** The key that was given last was not accepted. */
  readonly refused: boolean
  readonly onSubmit: (key: string) => void
}

/** Asks for the API key that the server demands. It is kept in this tab only. */
export function SignIn({ refused, onSubmit }: Door) {
  return (
    <main class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault()
          const key = new FormData(event.currentTarget).get('key')
          if (typeof key === 'string' && key.trim() !== '') onSubmit(key.trim())
        }}
      >
        <h1>Spillway</h1>
        <p>This server asks for an API key with the scope “subscribe”. The key stays in this tab.</p>
        {refused && (
          <p class="problem" role="alert">
            The server did not accept this key.
          </p>
        )}
        <label for="key">API key</label>
        <input id="key" name="key" type="password" autocomplete="off" required />
        <button type="submit" class="primary">
          Open
        </button>
      </form>
    </main>
  )
}
