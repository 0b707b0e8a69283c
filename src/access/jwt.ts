import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { Config } from '../config.js'
import { SpillwayError } from '../errors.js'
import { checkName } from '../tenant.js'
import { isScope, type Principal } from './principal.js'

type JwtConfig = Pick<Config, 'jwtSecret' | 'jwksUrl' | 'jwtIssuer' | 'jwtAudience'>

/** Signatures only: with a public key at hand, an HMAC algorithm would make that key the secret. */
const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const MIN_SECRET_BYTES = 32
const CLOCK_TOLERANCE_S = 5
const JWKS_TIMEOUT_MS = 5000

/** Tokens of an issuer: claims `tenant`, `sub`, and `scope` as one text or an array. */
export class JwtAccess {
  readonly #key: Uint8Array | JWTVerifyGetKey
  readonly #algorithms: readonly string[]
  readonly #config: JwtConfig

  /** Errors: `CONFIG_INVALID`. */
  constructor(config: JwtConfig) {
    const { jwtSecret, jwksUrl } = config
    if ((jwtSecret === '') === (jwksUrl === '')) {
      throw new SpillwayError(
        'CONFIG_INVALID',
        'SPILLWAY_AUTH=jwt needs one of SPILLWAY_JWT_SECRET and SPILLWAY_JWKS_URL',
      )
    }
    if (jwksUrl !== '') {
      if (!URL.canParse(jwksUrl))
        throw new SpillwayError('CONFIG_INVALID', `SPILLWAY_JWKS_URL is not a URL: "${jwksUrl}"`)
      this.#key = createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: JWKS_TIMEOUT_MS })
      this.#algorithms = ASYMMETRIC
    } else {
      this.#key = new TextEncoder().encode(jwtSecret)
      this.#algorithms = ['HS256']
      if (this.#key.length < MIN_SECRET_BYTES) {
        throw new SpillwayError(
          'CONFIG_INVALID',
          `SPILLWAY_JWT_SECRET must have at least ${MIN_SECRET_BYTES} bytes`,
        )
      }
    }
    this.#config = config
  }

  /** Errors: `UNAUTHENTICATED`, `KEYS_UNAVAILABLE` (the JWKS cannot be read). */
  async verify(token: string): Promise<Principal> {
    const claims = await this.#claims(token)
    const { tenant, sub, scope } = claims
    try {
      return {
        tenant: checkName('tenant', tenant),
        user: sub === undefined ? null : checkName('user', sub),
        scopes: new Set(scopesOf(scope).filter(isScope)),
      }
    } catch (error) {
      throw new SpillwayError('UNAUTHENTICATED', `The token's claims are not usable: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  async #claims(token: string): Promise<JWTPayload> {
    const { jwtIssuer, jwtAudience } = this.#config
    const options = {
      algorithms: [...this.#algorithms],
      clockTolerance: CLOCK_TOLERANCE_S,
      ...(jwtIssuer === '' ? {} : { issuer: jwtIssuer }),
      ...(jwtAudience === '' ? {} : { audience: jwtAudience }),
    }
    try {
      const key = this.#key
      const { payload } = await (key instanceof Uint8Array
        ? jwtVerify(token, key, options)
        : jwtVerify(token, key, options))
      return payload
    } catch (error) {
      const refused = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)
      // A key set that does not answer says nothing about the token: nobody is told to log in again.
      if (!refused || isKeySetFailure(error)) {
        throw new SpillwayError('KEYS_UNAVAILABLE', 'The key set that signs tokens cannot be read', {
          cause: error,
          retryAfterMs: 1000,
        })
      }
      throw new SpillwayError('UNAUTHENTICATED', `The token is not valid: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }
}

/** jose's plain JOSEError stands for an answer of the key set's server that is no key set. */
function isKeySetFailure(error: errors.JOSEError): boolean {
  return error.code === 'ERR_JOSE_GENERIC' || error instanceof errors.JWKSInvalid
}

function scopesOf(scope: unknown): string[] {
  if (typeof scope === 'string') return scope.split(/[ ,]+/)
  return Array.isArray(scope) ? scope.filter((part) => typeof part === 'string') : []
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
