"""What cures causes whose advice needs no arithmetic: the knob, and what to expect of it."""

from pinchpoint.records import Advice

PROPORTION = "in proportion to the time saved"

REMEDIES: dict[str, tuple[Advice, ...]] = {
    "disk": (
        Advice("Write or sync less per request: batch several into one, or hand them to a queue.", "writes per request",
               None, None, PROPORTION),
        Advice("Or give it a faster device, or a higher limit where a control group sets one (io.max, blkio.throttle). "
               "More threads or connections would wait for the same disk.", "disk", None, None,
               "in proportion to the device"),
    ),
    "network": (
        Advice("Send less: compress, page, or let clients cache (ETag, Cache-Control).", "bytes per answer", None, None,
               "in proportion to the bytes saved"),
        Advice("Or use a faster link; more workers would share the same one.", "link", None, None,
               "in proportion to the link"),
    ),
    "swap": (
        Advice("Give the machine more memory, or run fewer workers: pages that are needed are written to disk and read "
               "back.", "memory", None, None, "until everything needed stays in memory"),
    ),
    "limit": (
        Advice("Raise the memory limit (memory.max, memory.limit_in_bytes), or run fewer workers.", "memory limit",
               None, None, "until everything needed stays in memory"),
        Advice("Or hold less at once: stream instead of loading, keep smaller caches.", None, None, None, PROPORTION),
    ),
    "token-pool-deadlock": (
        Advice("Let nothing that holds a connection wait for a thread, nor a thread wait for a connection that only "
               "another thread can give back: open and close the session inside the function that uses it.", None, None,
               None, "the deadlock is gone"),
        Advice("Until then make the pool at least as large as the number of threads (pool_size + max_overflow >= "
               "threadpool tokens), so that no thread ever waits for a connection.", "pool_size + max_overflow", None,
               None, "no deadlock up to that many requests at once"),
    ),
    "accept-backlog": (
        Advice("Raise the backlog (--backlog) and the kernel's cap on it (net.core.somaxconn).", "backlog", None, None,
               "until the next wall"),
        Advice("Or let a proxy in front keep connections open, so that bursts of new ones do not come.", None, None,
               None, None),
    ),
    "cpu-quota": (
        Advice("Raise the CPU quota (cpu.max, cpu.cfs_quota_us; in Kubernetes the CPU limit).", "CPU quota", None, None,
               "in proportion to the quota, up to the number of workers"),
    ),
    "noisy-neighbour": (
        Advice("Move the neighbour to other cores, or pin both apart (--server-cpus, cpusets).", "cores", None, None,
               "in proportion to the CPU that it takes"),
    ),
    "worker-imbalance": (
        Advice("Spread requests evenly: let clients or a proxy open new connections now and then (keep-alive limits), "
               "use --reuse-port, and route no key to one worker.", "connections", None, None,
               "up to the mean of the workers"),
    ),
    "gil": (
        Advice("Run more workers: each has a GIL of its own. More threads do not help.", "workers", None, None,
               "in proportion to the workers, up to the cores"),
    ),
}  # fmt: skip
"""Cause -> advice, most effective first."""
