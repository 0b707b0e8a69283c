import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accepts, endProcess, freePort, serverFolder, startProcess, tieToThisProcess } from './processes.js'
import { requirePrograms } from './programs.js'

export interface Nginx {
  readonly url: string
  remove(): Promise<void>
}

/** Starts nginx with its defaults (buffering on) before these servers, `host:port` or URLs, in turn. */
export async function startNginx(upstreams: readonly string[]): Promise<Nginx> {
  const { nginx } = requirePrograms(['nginx'])
  const folder = serverFolder('nginx')
  const untie = tieToThisProcess(folder)
  mkdirSync(join(folder, 'logs'), { recursive: true })
  const port = await freePort()
  const config = join(folder, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    config,
    `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  upstream spillway {
    ${upstreams.map((upstream) => `server ${upstream.replace(/^https?:\/\//, '')};`).join('\n    ')}
    keepalive 16;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://spillway;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }
  }
}
`,
  )
  const server = await startProcess({
    command: nginx,
    args: ['-p', folder, '-c', config, '-e', 'stderr'],
    folder,
    ready: () => accepts(port),
  })
  return {
    url: `http://127.0.0.1:${port}`,
    remove: async () => {
      await endProcess(server, 'SIGTERM')
      await untie()
    },
  }
}
