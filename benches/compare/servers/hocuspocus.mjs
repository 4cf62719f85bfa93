// `@hocuspocus/server` as it comes, without an extension that stores anything.
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.NODE_PATH}/`)
const { Server } = await import(require.resolve('@hocuspocus/server'))
const server = new Server({ port: Number(process.argv[2]), address: '127.0.0.1', quiet: true })
await server.listen()
