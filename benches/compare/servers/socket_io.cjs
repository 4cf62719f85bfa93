// `socket.io` with a room for each document.
const { Server } = require('socket.io')

const server = new Server({ transports: ['websocket'], perMessageDeflate: false })
server.on('connection', (socket) => {
  socket.on('join', (document) => socket.join(document))
  socket.on('operation', (document, payload) => socket.to(document).emit('operation', payload))
})
server.listen(Number(process.argv[2]))
