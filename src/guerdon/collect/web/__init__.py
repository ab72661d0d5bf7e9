"""The web app: pages made on the server, a little script, nothing loaded from elsewhere."""
