"""Virtual machines under emulation: whole kernels that a campaign can cut the power of, or let a watchdog reset."""
