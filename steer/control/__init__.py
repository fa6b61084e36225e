"""The loop that ticks, the HTTP API and the dashboard: where clocks, files and sockets meet the pure rooms.
Imports every room below it, never `lab` or `cli`."""
