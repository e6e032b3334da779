//! Each shipped table against the stand-in of its service.

mod dnanexus;
mod drs;
mod presigned;
mod sevenbridges;
