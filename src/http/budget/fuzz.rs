//! What the fuzz targets run of the rate budget.

use super::request_log::RequestLog;
use crate::model::Rate;
use std::time::Duration;

/// Reads any bytes as the record of a rate budget.
///
/// # Panics
/// When the record can hold requests back for ever, or lets more pass than the rate permits.
pub(crate) fn budget(input: &[u8]) {
    const NOW: u64 = 1_800_000_000_000;
    let Ok(mut log) = serde_json::from_slice::<RequestLog>(input) else {
        return;
    };
    let rates = [
        Rate {
            requests: 2,
            window: Duration::from_secs(10),
        },
        Rate {
            requests: 5,
            window: Duration::from_mins(1),
        },
    ];
    log.forget(&rates, 1, NOW);
    let _ = log.next_slot(&rates, 1, NOW);
    // An hour later no request of this record counts, and no hold lasts.
    let later = NOW + 60 * 60 * 1000;
    log.forget(&rates, 1, later);
    assert_eq!(
        log.next_slot(&rates, 1, later),
        super::request_log::NextSlot::In(0)
    );
}
