"""The demo's console: reads documents (`core.views`) only, and tells what happens and why."""
