//! A Form queue of our own making, written from the protocol's description alone and independent of the crate: it
//! checks every request to the byte, and misbehaves as a script tells it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

/// SHA3-256 of `usage_events`, from the protocol's description.
pub(crate) const USAGE_EVENTS: &str = "ed54877daae9a0ac5d8dd627316b43916b5b010503be90c37d5f12c048405a72";

/// How to answer one write.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Take it and say so.
    Take,
    /// `Failure` with a reason.
    Fail(Option<&'static str>),
    /// A status, headers (each with its line end), and a body.
    Status(u16, &'static str, &'static str),
    /// Close without a reply, having taken the event or not.
    Reset { taken: bool },
    /// Take it, send half of the reply, close.
    Half,
    /// Take it and never answer.
    Silence,
    /// Take it and answer when another request has come in.
    AfterTheNext,
    /// These bytes in place of an HTTP reply.
    Raw(&'static [u8]),
}

impl Answer {
    pub(crate) const fn status(code: u16) -> Self {
        Self::Status(code, "", "no")
    }
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Answer>,
    requests: Vec<Request>,
    /// Messages of `usage_events`, each the sub-topic and the event's text.
    messages: Vec<Vec<u8>>,
    /// How many messages a list reply is cut after, once.
    cut_list_after: Option<usize>,
    /// Every write is answered so once the script is through.
    default: Option<Answer>,
    /// Events with this text are refused.
    refused_text: Option<&'static str>,
    refusals: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The queue; it ends with the test's process.
#[derive(Debug, Clone)]
pub(crate) struct FormQueue {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FormQueue {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let queue = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let server = queue.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(&connection));
            }
        });
        queue
    }

    /// Answers the next writes so, then takes everything.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.state.lock().unwrap().script.extend(answers);
    }

    /// Answers every write so, from when the script is through.
    pub(crate) fn always(&self, answer: Answer) {
        self.shared.state.lock().unwrap().default = Some(answer);
    }

    pub(crate) fn url(&self) -> String {
        format!("form://{}/usage_events", self.address)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// The bodies of all writes, in order of arrival.
    pub(crate) fn writes(&self) -> Vec<Vec<u8>> {
        self.requests().into_iter().filter(|request| request.method == "POST").map(|request| request.body).collect()
    }

    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        self.shared.state.lock().unwrap().messages.clone()
    }

    /// The texts of the messages, each behind its sub-topic byte 0.
    pub(crate) fn events(&self) -> Vec<String> {
        self.messages()
            .into_iter()
            .map(|message| {
                assert_eq!(message[0], 0, "the sub-topic");
                String::from_utf8(message[1..].to_vec()).unwrap()
            })
            .collect()
    }

    pub(crate) fn hold(&self, messages: impl IntoIterator<Item = Vec<u8>>) {
        self.shared.state.lock().unwrap().messages.extend(messages);
    }

    pub(crate) fn cut_list_after(&self, messages: usize) {
        self.shared.state.lock().unwrap().cut_list_after = Some(messages);
    }

    /// Forgets every message, as the real one does when it restarts.
    pub(crate) fn restart(&self) {
        self.shared.state.lock().unwrap().messages.clear();
    }

    /// Waits until so many requests have come in.
    pub(crate) fn wait_for_requests(&self, count: usize) {
        self.wait("requests", |state| state.requests.len() >= count);
    }

    /// Waits until so many messages are held.
    pub(crate) fn wait_for_messages(&self, count: usize) {
        self.wait("messages", |state| state.messages.len() >= count);
    }

    /// Waits for a request with this text in its content to have been refused so many times.
    pub(crate) fn wait_for_refusals(&self, count: usize) {
        self.wait("refusals", |state| state.refusals >= count);
    }

    /// Refuses every event that holds `text`, by name, whatever the script says.
    pub(crate) fn refuse(&self, text: &'static str) {
        self.shared.state.lock().unwrap().refused_text = Some(text);
    }

    pub(crate) fn refusals(&self) -> usize {
        self.shared.state.lock().unwrap().refusals
    }

    /// Waits for `what`, and fails rather than hang.
    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let state = self.shared.state.lock().unwrap();
        let patience = std::time::Duration::from_secs(30);
        let (state, late) = self.shared.changed.wait_timeout_while(state, patience, |state| !done(state)).unwrap();
        assert!(
            !late.timed_out(),
            "waited in vain for {what}: {} requests, {} messages",
            state.requests.len(),
            state.messages.len()
        );
    }

    fn serve(&self, connection: &TcpStream) {
        let mut reader = BufReader::new(connection);
        while let Some(request) = read_request(&mut reader) {
            let (answer, cut) = {
                let mut state = self.shared.state.lock().unwrap();
                state.requests.push(request.clone());
                self.shared.changed.notify_all();
                let write = request.method == "POST";
                let scripted = if write { state.script.pop_front() } else { None };
                let answer = scripted.or_else(|| state.default.clone().filter(|_| write)).unwrap_or(Answer::Take);
                (answer, state.cut_list_after.take_if(|_| !write))
            };
            let goes_on = self.answer(connection, &request, &answer, cut);
            self.shared.changed.notify_all();
            if !goes_on {
                let _ = connection.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Answers `request`; whether the connection lives on.
    fn answer(&self, mut connection: &TcpStream, request: &Request, answer: &Answer, cut: Option<usize>) -> bool {
        let mut send = |status: u16, headers: &str, body: &str| {
            let length = body.len();
            // One write: of several small ones each would wait for the sender's delayed acknowledgement.
            let reply = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
            connection.write_all(reply.as_bytes()).is_ok()
        };
        if request.method == "GET" {
            let reply = self.read(&request.path);
            return match cut {
                None => send(200, "content-type: application/json\r\n", &reply),
                Some(messages) => {
                    let end =
                        reply.match_indices(']').nth(messages.saturating_sub(1)).map_or(reply.len(), |(at, _)| at + 2);
                    let length = reply.len();
                    let _ = write!(connection, "HTTP/1.1 200 X\r\ncontent-length: {length}\r\n\r\n{}", &reply[..end]);
                    false
                }
            };
        }
        match answer {
            Answer::Take => {
                let reply = self.take(request);
                send(200, "content-type: application/json\r\n", &reply)
            }
            Answer::Fail(reason) => send(200, "", &json!({"Failure": {"reason": reason}}).to_string()),
            Answer::Status(code, headers, body) => send(*code, headers, body),
            Answer::Reset { taken } => {
                if *taken {
                    self.take(request);
                }
                false
            }
            Answer::Half => {
                self.take(request);
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n\"OpSu");
                false
            }
            Answer::Silence => {
                self.take(request);
                true
            }
            Answer::AfterTheNext => {
                let reply = self.take(request);
                let state = self.shared.state.lock().unwrap();
                let (before, patience) = (state.requests.len(), std::time::Duration::from_secs(30));
                drop(
                    self.shared.changed.wait_timeout_while(state, patience, |it| it.requests.len() <= before).unwrap(),
                );
                send(200, "content-type: application/json\r\n", &reply)
            }
            Answer::Raw(bytes) => {
                let _ = connection.write_all(bytes);
                false
            }
        }
    }

    /// Takes a write as the protocol says, and gives the reply's text.
    fn take(&self, request: &Request) -> String {
        assert_eq!(request.path, "/queue/write_local");
        assert!(request.headers.to_ascii_lowercase().contains("content-type: application/json"), "{}", request.headers);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let write = body["Write"].as_object().unwrap();
        assert_eq!(write["topic"], USAGE_EVENTS);
        let content: Vec<u8> = serde_json::from_value(write["content"].clone()).unwrap();
        // The request is compact, and holds nothing else.
        assert_eq!(
            request.body,
            json!({"Write": {"content": content, "topic": USAGE_EVENTS}}).to_string().into_bytes()
        );
        let mut state = self.shared.state.lock().unwrap();
        if state.refused_text.is_some_and(|text| String::from_utf8_lossy(&content).contains(text)) {
            state.refusals += 1;
            return json!({"Failure": {"reason": "not this one"}}).to_string();
        }
        if !state.messages.contains(&content) {
            state.messages.push(content);
        }
        json!("OpSuccess").to_string()
    }

    fn read(&self, path: &str) -> String {
        let state = self.shared.state.lock().unwrap();
        let failure = |reason: &str| json!({"Failure": {"reason": reason}}).to_string();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let from = match parts[..] {
            ["queue", "usage_events", "get"] => 0,
            ["queue", "usage_events", index, "get_after"] => index.parse().unwrap(),
            _ => return failure("no such topic"),
        };
        match state.messages.get(from..) {
            None | Some([]) if from > 0 => failure("Queue is shorter than that"),
            None | Some([]) => failure("no such topic"),
            Some(messages) => json!({ "List": messages }).to_string(),
        }
    }
}

pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut first = head.split_whitespace();
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:").map(|it| it.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers: head, body })
}
