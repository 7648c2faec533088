"""Time, threads and locks as the operating system gives them, taken before anybody (gevent) can replace them.

The page is written by a real thread in real time, and what it shares with the app needs real locks.
"""

import _thread
import threading
import time

RLock = threading.RLock
"""Re-entrant, because the garbage collector may run a hook in the middle of another."""
sleep = time.sleep
get_native_id = threading.get_native_id
start_thread = _thread.start_new_thread
