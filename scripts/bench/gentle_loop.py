"""About 100 requests a second on new connections, so that every worker gets some.

python gentle_loop.py PORT PATH SECONDS
"""

import sys
import time
import urllib.request

port, path, seconds = sys.argv[1:]
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5.0).read()
    time.sleep(0.01)
