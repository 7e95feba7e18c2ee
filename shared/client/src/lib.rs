//! Transports, the mesh and a typed client per service.
