-- Who may call: API keys, and the secrets that instances share.

CREATE TABLE spillway.api_keys (
  -- The public part of a key, 16 hexadecimal digits.
  id text COLLATE "C" PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  name text NOT NULL,
  scopes text[] NOT NULL,
  -- SHA-256 of the secret part, hexadecimal. It is random and long, so a slow hash would add nothing.
  hash text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  revoked_at timestamptz
);
CREATE INDEX api_keys_tenant ON spillway.api_keys (tenant, created_at);
SELECT spillway.protect('spillway.api_keys');

-- Made once by the first instance that needs them; of no tenant.
CREATE TABLE spillway.secrets (
  name text COLLATE "C" PRIMARY KEY,
  -- base64url
  value text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT ON spillway.secrets TO spillway_app;
