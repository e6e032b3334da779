//! Web pages and errors of a storage that arrive instead of a document are refused before they are saved or continued.

use super::Attempts;
use super::length_screening;
use super::sink_transfer::SinkTransfer;
use crate::error::{Error, Result};
use crate::fetch::entity::{Entity, StorageNames};
use crate::fetch::target::naming;
use crate::fetch::transfer::coding::is_told;
use crate::fetch::transfer::web_page::{self, ExpectedDocument, PageVerdict};
use crate::fetch::transfer::{Body, FirstBytes, MAX_SNIFFED_BYTES, Sink, StorageAnswer, sniff};
use crate::http::PresignedUrl;
use crate::resolve::Metadata;
use std::ffi::OsStr;
use std::path::Path;

/// What to do about a web page where the partial has bytes of another kind. With another `-o`, the document gets
/// another partial.
const OTHER_PART_HINT: &str = "run again later; if the document is a web page now, give the id alone with its --sha256 \
                               and another -o NAME";

/// A body or a partial that starts as HTML or as the error of a storage.
struct SuspectPage<'a> {
    /// What its first bytes are.
    kind: FirstBytes,
    /// The names that the storage gives the document.
    names: &'a StorageNames,
    /// The name in the document's own URL.
    name_in_url: Option<&'a str>,
    /// The length in bytes that the storage announced.
    announced: Option<u64>,
    /// Whether the bytes have a content coding. Then the provider may tell the size of the bytes without it.
    is_coded: bool,
    /// Whether docfetch will compare a digest of all bytes.
    has_digest: bool,
    /// Whether the partial has bytes of the document that start as neither.
    has_other_part: bool,
    /// The host that sent it, for messages.
    host: &'a str,
}

impl Attempts<'_> {
    /// Refuses an answer whose body is a web page or cannot be the document by its length, and takes note of one
    /// that may be a web page. The partial keeps its bytes.
    ///
    /// # Errors
    /// Those of the answer; [`Code::StorageError`](crate::Code::StorageError) for a body that is refused;
    /// [`Code::LocalIo`](crate::Code::LocalIo) when the partial cannot be read.
    pub(super) async fn screen(
        &mut self,
        answer: Result<StorageAnswer>,
        url: &PresignedUrl,
        work: &SinkTransfer<'_, '_>,
    ) -> Result<StorageAnswer> {
        let metadata = &*work.metadata;
        let mut answer = answer?;
        if let StorageAnswer::Body(body) = &mut answer
            && body.offset == 0
        {
            self.web_page = None;
            // A page of a filter may arrive with a content coding. A document that is stored with one, such as
            // x.page.gz, tells that by its name.
            let by_storage = &body.entity.name;
            let names = [&metadata.name, &by_storage.header, &by_storage.url];
            let names = names.into_iter().filter_map(|name| name.as_deref());
            let names = names.chain(self.name_by_user());
            let coding = body.coding.as_deref();
            let is_decoded = coding.is_some_and(|coding| !is_told(coding, names));
            let kind = body.sniff(is_decoded).await?;
            if kind != FirstBytes::Other {
                let has_digest = self.options.digests.expected_sha256.is_some();
                let names = &body.entity.name;
                // Only a URL that is signed, and that the storage answers without a redirect, names the
                // document.
                let own = naming::from_url(url.expose()).filter(|_| url.is_signed());
                let name_in_url = own.filter(|own| names.url.as_ref() == Some(own));
                let page = SuspectPage {
                    kind,
                    names,
                    name_in_url: name_in_url.as_deref(),
                    announced: body.entity.total,
                    is_coded: body.coding.is_some(),
                    has_digest: has_digest
                        || body.entity.checksum.is_some()
                        || work.digests.has_told(),
                    has_other_part: has_other_part(work.sink)?,
                    host: body.host(),
                };
                self.judge(&page, metadata)?;
            }
            self.judge_media_type(body)?;
            length_screening::check(body, work).await?;
        }
        Ok(answer)
    }

    /// Throws the bytes of an earlier run away where they are a web page.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo).
    pub(super) fn screen_partial(&mut self, work: &mut SinkTransfer<'_, '_>) -> Result<()> {
        self.web_page = None;
        let Sink::Partial(partial) = &*work.sink else {
            return Ok(());
        };
        let first = partial.first_bytes(MAX_SNIFFED_BYTES)?;
        let kind = match sniff(&first, true, false) {
            None | Some(FirstBytes::Other) => return Ok(()),
            Some(kind) => kind,
        };
        let Entity { name, total, .. } = partial.entity();
        let page = SuspectPage {
            kind,
            names: name,
            name_in_url: name.url.as_deref(),
            announced: *total,
            is_coded: false,
            has_digest: work.digests.has_expected_digest(),
            has_other_part: false,
            host: "the storage",
        };
        if let Err(error) = self.judge(&page, work.metadata) {
            log::info!("starting over with {}: {}", self.id, error.message());
            work.sink.restart("the bytes here are a web page", true)?;
            work.digests.restart();
        }
        Ok(())
    }

    /// The name of the file that the user gave.
    fn name_by_user(&self) -> Option<&str> {
        let file = self.options.target.file.as_deref();
        file.and_then(Path::file_name).and_then(OsStr::to_str)
    }

    /// Refuses a body of a media type that the provider has no documents of, unless a SHA-256 of the user decides.
    fn judge_media_type(&mut self, body: &Body) -> Result<()> {
        let table = &self.resolver.provider().table;
        let Some(media_type) = body.media_type.as_deref() else {
            return Ok(());
        };
        if !web_page::is_refused_type(&table.refuse, media_type) {
            return Ok(());
        }
        let error = web_page::refused_type(body.host(), media_type, &table.title);
        self.unless_by_user(error)
    }

    /// Takes note of an error that a SHA-256 of the user can disprove; where the user gives none, fails with it.
    fn unless_by_user(&mut self, error: Error) -> Result<()> {
        if self.options.digests.expected_sha256.is_none() {
            return Err(error);
        }
        self.web_page = Some(error);
        Ok(())
    }

    /// Judges a page by what docfetch knows about the document.
    fn judge(&mut self, page: &SuspectPage<'_>, metadata: &Metadata) -> Result<()> {
        let table = &self.resolver.provider().table;
        if page.kind == FirstBytes::Html && web_page::refuses_html(&table.refuse) {
            let why = format!("{} has no web pages as documents", table.title);
            return self.unless_by_user(web_page::refusal(page.host, page.kind, &why, true));
        }
        let by_metadata = metadata.name.as_deref().and_then(naming::safe);
        let by_provider = by_metadata.as_deref().or(page.names.header.as_deref());
        let by_user = self.name_by_user();
        let by_url = page.name_in_url;
        let expected = ExpectedDocument {
            name: by_provider
                .or(by_user)
                .or(by_url.filter(|name| web_page::is_usual_web_page_name(name))),
            size: metadata
                .size
                .filter(|size| !page.is_coded || Some(*size) == page.announced),
            announced: page.announced,
            proven: page.has_digest,
            has_other_part: page.has_other_part,
        };
        let refused = |why: &str| {
            let error = web_page::refusal(page.host, page.kind, why, by_provider.is_some());
            if page.has_other_part {
                error.with_hint(OTHER_PART_HINT)
            } else {
                error
            }
        };
        match web_page::judge(expected) {
            PageVerdict::Document => Ok(()),
            PageVerdict::WebPage(why) => Err(refused(&why)),
            PageVerdict::Unproven(why) => {
                self.web_page = Some(refused(&why));
                Ok(())
            }
        }
    }
}

/// Whether the sink is a partial with bytes that start neither as HTML nor as the error of a storage.
fn has_other_part(sink: &Sink) -> Result<bool> {
    let Sink::Partial(partial) = sink else {
        return Ok(false);
    };
    let first = partial.first_bytes(MAX_SNIFFED_BYTES)?;
    Ok(sniff(&first, false, false) == Some(FirstBytes::Other))
}
