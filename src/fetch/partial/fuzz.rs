//! What the fuzz targets run of the partials.

use super::sidecar::Sidecar;

/// Reads any bytes as a sidecar's file, and as the sidecar inside a version whose CRC is right.
///
/// # Panics
/// When the extents of a sidecar that counts overlap, or end behind the document's end.
pub(crate) fn sidecar(input: &[u8]) {
    let inner = serde_json::from_slice(input).ok();
    let inner = inner.filter(Sidecar::is_consistent);
    for sidecar in [Sidecar::parse(input), inner].into_iter().flatten() {
        let mut end = 0;
        for extent in &sidecar.extents {
            assert!(end <= extent.start && extent.start <= extent.end());
            end = extent.end();
        }
        assert!(sidecar.total.is_none_or(|total| end <= total));
    }
}
