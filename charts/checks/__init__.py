"""Offline checks of the Helm chart charts/plue (make chart)."""
