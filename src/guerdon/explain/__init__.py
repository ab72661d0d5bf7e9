"""Why a reward prefers one answer: `occlusion` leaves out one sentence at a time."""
