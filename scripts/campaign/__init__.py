"""The parts of scripts/overnight; docs/CAMPAIGN.md says what they keep."""
