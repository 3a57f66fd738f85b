"""What the platform's REST APIs share: how a request is read and how it is answered. Nothing of a route's own."""
