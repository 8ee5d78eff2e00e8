//! The real dockerd, below the real binary, in a real container. Needs a lab: `make integration`.
