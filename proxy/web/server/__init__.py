"""HTTP on sockets: two servers, one for every request and a fast path for the most frequent."""
