"""A region's services behind one address. Imports nothing of the platform: it also runs as a process of its own."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Region:
    """A region's services behind one address: statuses and delays by what is asked."""

    def __init__(self):
        self.asked, self.statuses, self.delays, self.fault = [], {}, {}, False
        region = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer("health")

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer("functions" if "/functions/" in self.path else "tables")

            def answer(self, what):
                region.asked.append(what)
                time.sleep(region.delays.get(what, 0))
                body = b"{}"
                self.send_response(region.statuses.get(what, 200))
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                if what == "functions" and region.fault:
                    self.send_header("X-Amz-Function-Error", "Unhandled")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
