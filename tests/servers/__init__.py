"""Protocol servers that speak the venues' own wire formats; nothing here imports riskbot."""
