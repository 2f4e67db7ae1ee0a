//! An endpoint for CloudEvents over HTTP, step by step.
//!
//! What arrives there may be billed, and no address is set aside for probes, so nothing is ever posted: `OPTIONS` asks
//! whether the endpoint is there and lets us in.

use super::http::{Request, excerpt};
use super::step::{Step, Stopped};
use super::web::Web;

pub(super) async fn steps(web: &mut Web<'_, '_>, path: &str) -> Result<(), Stopped> {
    let request = Request { method: "OPTIONS", ..Request::get(path) };
    let (reply, elapsed) = web.ask(Step::Http, request).await?;
    // Without the query, which may hold a key.
    let what = format!("OPTIONS {}", path.split('?').next().unwrap_or_default());
    let refusal = web.refusal(&reply, &what);
    if let Some((Step::Http, problem)) = refusal {
        return Err(web.trail.fail(Step::Http, elapsed, problem));
    }
    let server = reply.header("server").map(|name| format!(", by {}", excerpt(name.as_bytes()))).unwrap_or_default();
    web.trail.ok(Step::Http, elapsed, format!("answered with {}{server}", reply.status));
    match refusal {
        // Nobody has to know OPTIONS.
        Some((Step::Health, _)) if reply.status == 501 => {}
        Some((step, problem)) => return Err(web.trail.fail(step, elapsed, problem)),
        None if matches!(reply.status, 404 | 410) => {
            let problem = web.foreign(&reply, &what, "an endpoint for events", "check the path in the destination URL");
            return Err(web.trail.fail(Step::Protocol, elapsed, problem));
        }
        None => {}
    }
    if reply.header("allow").is_some_and(|allowed| !allowed.to_ascii_uppercase().contains("POST")) {
        let problem = web.foreign(
            &reply,
            &what,
            "an endpoint that takes POST",
            "check the path in the destination URL: what is there only takes other requests",
        );
        return Err(web.trail.fail(Step::Protocol, elapsed, problem));
    }
    web.trail.ok(Step::Permission, elapsed, "the endpoint lets us in");
    web.clock(&reply, elapsed);
    web.trail.skip(Step::Write, "nothing is posted there: what arrives may be billed");
    Ok(())
}
