//! What people do with the stack: with all services in one process, with a process per service over
//! HTTP, the same on real servers, and against a deployment that is there already. The journeys are the
//! same text.

mod accounts;
mod answers;
mod bad_input;
mod channels;
mod documents;
mod injection;
mod openai;

use crate::support::{Deployment, Mode, Servers};

macro_rules! journeys {
    ($($module:ident :: $journey:ident),+ $(,)?) => {
        /// Every journey, each in tenants of its own.
        async fn walk_at(mode: &str, gateway: &str) {
            $(
                let name = concat!(stringify!($module), "::", stringify!($journey));
                println!("{mode}: {name}");
                Box::pin($module::$journey(gateway)).await;
            )+
        }
    };
}

journeys! {
    accounts::register_log_in_refresh_log_out,
    accounts::api_keys_open_the_door_until_deleted,
    accounts::forged_credentials_are_refused,
    documents::every_format_gets_indexed_and_found,
    documents::a_new_version_replaces_the_old_text,
    documents::a_deleted_document_is_gone_everywhere,
    documents::a_repeated_upload_makes_one_document,
    documents::other_tenants_see_nothing,
    documents::damaged_files_fail_and_the_service_lives,
    answers::questions_in_two_languages_are_answered_with_exact_quotes,
    answers::a_stream_has_its_events_in_order,
    answers::conversations_remember,
    answers::search_explains_itself_and_is_prefix_stable,
    answers::every_service_tells_its_state,
    channels::posts_are_parsed_found_and_cited_with_a_link,
    openai::chat_completions_answer_whole_and_streamed,
    bad_input::every_bad_request_has_its_code,
    injection::strings_that_attack_stores_are_only_strings,
}

/// One deployment walks every journey and ends.
async fn walk(mode: &str, deployment: Deployment) {
    walk_at(mode, &deployment.gateway).await;
    deployment.stop().await;
}

/// `TOUCHSTONE_E2E_URL` names the gateway of a deployment: compose, a cluster, another machine. Its users
/// must be allowed some thousand requests a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journeys_pass_against_a_deployment_that_is_there() {
    let Some(gateway) = touchstone_config::variable("TOUCHSTONE_E2E_URL") else {
        eprintln!("SKIPPED: no deployment to walk through: TOUCHSTONE_E2E_URL is not set");
        return;
    };
    walk_at(&gateway, gateway.trim_end_matches('/')).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journeys_pass_in_one_process() {
    walk("in process", Deployment::start(Mode::InProcess).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journeys_pass_with_a_process_per_service() {
    walk("processes", Deployment::start(Mode::Processes).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journeys_pass_with_a_process_per_service_on_real_servers() {
    let Some(servers) = Servers::shared().await else {
        return;
    };
    walk("real servers", Deployment::on(servers.environment()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_generation_the_gateway_answers_with_passages_and_says_so() {
    let mut deployment = Deployment::start(Mode::Processes).await;
    answers::ask_works(&deployment.gateway).await;
    let generation = deployment
        .processes
        .remove(&touchstone_stack::Service::Generation)
        .unwrap();
    generation.kill().await;
    answers::ask_is_degraded(&deployment.gateway).await;
    deployment.stop().await;
}
