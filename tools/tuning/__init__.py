"""hakmem-tune in parts: what is tried, what is tried next, how it is measured, what is believed."""
