//! The contents of the sample documents.

/// A PDF with one line of text.
pub(super) fn pdf() -> String {
    let text = "BT /F1 24 Tf 72 720 Td (Board report, third quarter of 2026) Tj ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.4\n".to_owned();
    let mut offsets = String::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push_str(&format!("{:010} 00000 n \n", pdf.len()));
        pdf.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let table = pdf.len();
    let count = objects.len() + 1;
    format!(
        "{pdf}xref\n0 {count}\n0000000000 65535 f \n{offsets}trailer\n<< /Size {count} /Root 1 0 R >>\n\
         startxref\n{table}\n%%EOF\n"
    )
}

/// A CSV file with 1200 rows.
pub(super) fn csv() -> String {
    let rows = (1..=1200).map(|month| {
        let revenue = 100_000 + month * 37 % 9_001;
        format!("{month};{revenue};{}\n", revenue * 3 / 5)
    });
    "Monat;Umsatz;Kosten\n".to_owned() + &rows.collect::<String>()
}

/// A FASTQ file with at least this many bytes: reads of 150 bases. A xorshift generator (Marsaglia 2003)
/// makes the bases, so that they are the same in every run.
pub(super) fn fastq(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(bytes + 400);
    for number in 1.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!("@SANDBOX:1:{number}\n"));
        for _ in 0..150 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(['A', 'C', 'G', 'T'][(state >> 62) as usize]);
        }
        text.push_str("\n+\n");
        text.extend(std::iter::repeat_n('I', 150));
        text.push('\n');
    }
    text
}
