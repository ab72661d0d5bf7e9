"""Why a reward prefers one response: `occlude` leaves out one sentence at a time."""
