//! Reading a source again and again.

use std::path::PathBuf;
use std::time::Duration;

use super::http::HttpText;
use super::{Loaded, SourceError, ThresholdSource, path};
use crate::clock::Clock;
#[cfg(feature = "sqlite")]
use crate::threshold::store;
use crate::transport::ConnectOptions;

/// How often what lies on this machine is looked at.
const LOCAL_INTERVAL: Duration = Duration::from_millis(500);
/// How often a server is asked.
const SERVER_INTERVAL: Duration = Duration::from_secs(10);

/// Reads a source, and knows what it held at the last look.
///
/// ```
/// use form_usage_events::threshold::{ThresholdReader, ThresholdSource};
/// # let folder = std::env::temp_dir().join(format!("reader-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let file = folder.join("cpu.json");
/// # std::fs::write(&file, r#"{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Log","user_id":"*"}"#)?;
///
/// let source = ThresholdSource::parse(file.to_str().unwrap())?;
/// let mut reader = ThresholdReader::new(source, Default::default())?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// assert_eq!(reader.poll().await?.map(|loaded| loaded.configs.len()), Some(1));
/// assert_eq!(reader.poll().await?, None, "nothing has changed");
/// # Ok::<(), form_usage_events::threshold::SourceError>(())
/// # })?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ThresholdReader {
    source: ThresholdSource,
    state: State,
}

#[derive(Debug)]
enum State {
    Path(PathBuf, Option<path::Signature>),
    Http(Box<HttpText>),
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf, Option<store::Version>),
    #[cfg(feature = "nats")]
    Nats(Box<super::nats::Bucket>),
}

impl ThresholdReader {
    /// A reader of `source`; reads nothing yet. `options` hold the time limit, token, roots and NATS credentials where
    /// the source is a service.
    ///
    /// # Errors
    /// When this build can't read such a source, or a credential can't be used.
    pub fn new(source: ThresholdSource, options: ConnectOptions) -> Result<Self, SourceError> {
        let state = match &source {
            ThresholdSource::Path(path) => State::Path(path.clone(), None),
            ThresholdSource::Http(url) => State::Http(Box::new(HttpText::new(url, &options)?)),
            #[cfg(feature = "sqlite")]
            ThresholdSource::Sqlite(path) => State::Sqlite(path.clone(), None),
            #[cfg(feature = "nats")]
            ThresholdSource::Nats(address) => State::Nats(Box::new(super::nats::Bucket::new(address, &options)?)),
            #[cfg(not(all(feature = "sqlite", feature = "nats")))]
            other => {
                return Err(SourceError::one(format!(
                    "this build can't read thresholds from {other}; build it with the features `sqlite` and `nats`"
                )));
            }
        };
        Ok(Self { source, state })
    }

    /// The source.
    #[must_use]
    pub const fn source(&self) -> &ThresholdSource {
        &self.source
    }

    /// All that the source holds, read and validated; `None` where it is as it was at the last call, and that one
    /// succeeded or failed by its content.
    ///
    /// Files are read on the runtime's blocking threads; without a runtime, on the calling one.
    ///
    /// # Errors
    /// When something can't be read, when any text has a fault, when two thresholds have the same id, when a folder holds
    /// no `*.json` file. A fault in the content is told once, and again when the content changes.
    pub async fn poll(&mut self) -> Result<Option<Loaded>, SourceError> {
        let remote = matches!(self.source, ThresholdSource::Http(_) | ThresholdSource::Nats(_));
        if remote && tokio::runtime::Handle::try_current().is_err() {
            let source = &self.source;
            return Err(SourceError::one(format!("{source} is read over the network, which takes a Tokio runtime")));
        }
        match &mut self.state {
            State::Path(path, seen) => {
                let (path, known) = (path.clone(), seen.clone());
                let read = move || {
                    let now = path::signature(&path);
                    let loaded = (known.as_ref() != Some(&now)).then(|| path::load(&path));
                    (now, loaded)
                };
                let (now, loaded) = blocking(&self.source, read).await?;
                *seen = Some(now);
                loaded.transpose()
            }
            State::Http(text) => text.poll().await,
            #[cfg(feature = "sqlite")]
            State::Sqlite(path, seen) => {
                let (path, known) = (path.clone(), *seen);
                let (now, loaded) = blocking(&self.source, move || load_store(&path, known)).await??;
                *seen = Some(now);
                loaded.transpose()
            }
            #[cfg(feature = "nats")]
            State::Nats(bucket) => bucket.poll().await,
        }
    }

    /// Waits until it is worth to poll again: for a change where the source tells of it, else for half a second (what
    /// lies on this machine) or ten (a server).
    pub async fn changed(&mut self, clock: &dyn Clock) {
        match &mut self.state {
            State::Path(..) => clock.sleep(LOCAL_INTERVAL).await,
            State::Http(_) => clock.sleep(SERVER_INTERVAL).await,
            #[cfg(feature = "sqlite")]
            State::Sqlite(..) => clock.sleep(LOCAL_INTERVAL).await,
            #[cfg(feature = "nats")]
            State::Nats(bucket) => {
                if bucket.changed().await.is_err() {
                    clock.sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    source: &ThresholdSource,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(work)
            .await
            .map_err(|error| SourceError::one(format!("reading the thresholds of {source} was cut short: {error}"))),
        Err(_) => Ok(work()),
    }
}

#[cfg(feature = "sqlite")]
type Seen = (store::Version, Option<Result<Loaded, SourceError>>);

#[cfg(feature = "sqlite")]
fn load_store(path: &std::path::Path, known: Option<store::Version>) -> Result<Seen, SourceError> {
    let refuse = |error: &dyn std::fmt::Display| SourceError::one(format!("thresholds can't be read: {error}"));
    let opened = store::ThresholdStore::open_existing(path).map_err(|error| refuse(&error))?;
    let Some(store) = opened else {
        return Err(SourceError::one(format!(
            "thresholds can't be read: there is no store at {}; make it with: formusage thresholds add --thresholds sqlite:{} FILE",
            path.display(),
            path.display()
        )));
    };
    let now = store.version().map_err(|error| refuse(&error))?;
    if known == Some(now) {
        return Ok((now, None));
    }
    let mut texts = super::text::Texts::default();
    for (id, text) in store.texts().map_err(|error| refuse(&error))? {
        texts.add(&format!("sqlite:{}, threshold {id}", path.display()), text.as_bytes());
    }
    Ok((now, Some(texts.finish())))
}
