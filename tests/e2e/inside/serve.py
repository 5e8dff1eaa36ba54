"""A server inside: answers with what it was asked, and speaks WebSocket's handshake and echo by hand."""

import base64
import hashlib
import json
import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline().decode()
        headers = {}
        while header := self.rfile.readline().strip():
            name, _, value = header.decode().partition(": ")
            headers[name.lower()] = value
        if "sec-websocket-key" in headers:
            key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.wfile.write(
                f"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n".encode()
            )
            head = self.rfile.read(2)
            size = head[1] & 0x7F
            mask, data = self.rfile.read(4), self.rfile.read(size)
            plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
            self.wfile.write(bytes([head[0], size]) + plain)
            return
        body = self.rfile.read(int(headers.get("content-length", 0)))
        said = json.dumps({"line": line.strip(), "headers": headers, "body": body.decode()}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nset-cookie: own=1\r\ncontent-length: %d\r\n\r\n" % len(said) + said)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    print("true", flush=True)
    server.serve_forever()
