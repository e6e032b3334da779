//! Each shipped table against the stand-in of its service.

mod box_;
mod dnanexus;
mod dropbox;
mod drs;
mod faults;
mod files;
mod github;
mod mutation;
mod presigned;
mod sevenbridges;
