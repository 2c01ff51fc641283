"""ProLight: a picture and a brief in, a relit picture out, as durable runs. `README.md` is the way in."""
