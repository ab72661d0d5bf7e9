"""Pages and figures from the results of the stages."""
