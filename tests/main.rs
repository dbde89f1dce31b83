//! The integration tests: one binary, which mounts through the kernel and
//! talks real HTTP on loopback.
//!
//! They need `/dev/fuse`, and fail where it is missing. As root they also test
//! what an ordinary user meets, as the user `vm0fs-test` that `scripts/test`
//! makes.
//!
//! # Which test holds which promise
//!
//! What is promised, how it is kept, and the tests that hold it:
//!
//! | promise | how | tests |
//! |---|---|---|
//! | The token goes to the API's origin only | redirects are followed within it, links elsewhere are asked for without it | `faults::wrong_content::redirects_are_followed_within_the_service_only`, `faults::downloads::the_link`, `budgets::versions::the_token_goes_to_the_api_only`, `config::a_token_goes_to_no_server_but_the_one_that_is_asked` |
//! | Token, links and runs' secrets are in no argument, child's environment, log, error, panic's message, core file, or file of `.vm0fs` | they are of types that do not print; variables are taken out; a panic is logged by its place alone; cores are limited to a byte | `leaks::secrets_are_nowhere`, `commands::mount::neither_logs_nor_status_nor_arguments_hold_a_secret`, `living::starting::secrets_stay_out_of_logs_and_errors` |
//! | No plain HTTP to other hosts; no server without a good certificate | refused before a byte is sent | `commands::refusals::a_token_is_not_sent_in_the_open`, `faults::unreachable::a_certificate_that_nobody_has_signed` |
//! | An archive reaches nothing outside of its version | contents go into numbered files, names into an index; no devices, no setuid, `nosuid,nodev`; symlinks that lead out are listed and cannot be read (`--allow-external-symlinks` changes that) | `hostile::every_trick_has_its_outcome`, `tree::symlinks::links_out_of_a_version_are_shown_but_not_followed` |
//! | … and costs bounded memory, disk and time | limits (`vm0fs help limits`), looked at before anything is written | `hostile::bombs::ten_gigabytes_cost_neither_memory_nor_disk`, `hostile::bombs::five_million_empty_entries_are_refused_in_bounded_memory`, `hostile::bombs::what_one_header_says_of_all_entries_costs_each_of_them_little` |
//! | No byte of the cache is trusted | checksums; what fails them is fetched again | `store::tests::distrust::no_flip_and_no_cut_of_a_tree_does_harm`, `cache::damage::damage_is_repaired` |
//! | Only you enter, and what is kept is yours | the kernel asks who mounted; folders are 0700, files closed to others; token files that are not, are warned of; nothing listens, so there is no socket to guard | `leaks::nobody_else_enters`, `leaks::what_allow_other_exposes_is_told`, `config::the_cache_is_private`, `config::a_token_that_others_may_read_is_warned_of`, `rules::nothing_listens` |
//! | Indexers download nothing | by their names | `crawlers::an_indexer_lists_names_and_starts_no_download`, `crawlers::a_file_manager_counts_for_nothing_and_opens_what_is_opened`, `doctor::findings::updatedb_is_to_leave_mounts_out` |
//! | Few dependencies, all of them locked | `--locked` in every script; `tar` is 0.4.45 or later | `rules::manifest::dependencies_are_few_and_locked`, `rules::manifest::tar_is_not_older_than_0_4_45` |
//!
//! | promise | how | tests |
//! |---|---|---|
//! | A wait ends when nothing has come for `--timeout` | waits have deadlines that each byte renews | `faults::connections::that_fall_silent`, `waiting::deadlines::a_stalled_read_ends_with_etimedout`, `waiting::deadlines::a_slow_but_steady_download_takes_its_time` |
//! | What hangs delays nothing else: what needs no network takes 50 ms at most | operations never wait; calls and downloads have workers of their own | `waiting::quick::what_needs_no_network_is_quick_while_everything_hangs`, `waiting::quick::df_and_the_top_folder_never_ask`, `waiting::deadlines::more_hanging_downloads_than_workers_do_not_stop_listings` |
//! | `unmount` and SIGTERM take two seconds at most | requests that wait are let go; nothing there asks the network | `commands::unmount::a_hung_download_does_not_hold_it_up`, `commands::unmount::a_stopped_process_does_not_hold_it_up`, `ending::hanging::comes_at_once_while_everything_hangs` |
//! | Every fault of service and network is an honest error, told in `.vm0fs/errors`, and over when the service is well | one table of errors | `faults::error_answers::of_the_service`, `faults::error_answers::of_gateways`, `faults::wrong_content::of_other_content`, `faults::connections::that_break`, `faults::downloads::the_object_store`, `faults::unreachable::a_name_that_comes_to_be_known_is_noticed`, `faults::unreachable::tls_that_comes_to_work_is_noticed` |
//! | A service in trouble is left in peace | three tries with growing, random waits; `Retry-After`; one probe at a time while it is down; refreshes that slow down before any fails | `api::tests::faults::passing_faults_are_tried_again`, `faults::error_answers::of_rate_limits`, `faults::unreachable::a_service_that_cannot_be_reached_is_tried_now_and_then`, `faults::unreachable::a_service_that_is_down_behind_its_gateway_is_left_in_peace`, `faults::rate_budget::refreshes_slow_down_before_anything_fails` |
//! | No part is shown as the whole | what does not exist is told when all has been read and checked | `faults::downloads::the_bytes`, `streaming::a_bad_end_is_an_error_for_all_that_comes_after` |
//! | A crash or a panic at any step leaves a version or none, and the cache sound | made aside, then renamed | `cache::crashes::a_crash_at_any_step_leaves_a_version_or_none`, `cache::crashes::a_panic_at_any_step_is_an_error_and_passes`, `store::tests::cache::killed_at_any_moment` |
//! | A full, read-only, foreign or removed cache, too few descriptors or threads, a clock that jumps: an error at most, until it is over | the mount needs none of them for what it knows | `cache::folder::full_while_unpacking`, `cache::folder::read_only`, `cache::folder::owned_by_somebody_else`, `cache::one_that_is_removed_while_mounted_is_made_again`, `machine::limits::descriptors_run_out_and_come_back`, `machine::limits::threads_run_out_and_come_back`, `machine::clock::it_may_jump` |
//! | Many readers get what is right from a small cache | content that is waited for is not evicted | `machine::readers::two_hundred_processes_over_fifty_versions_with_room_for_five` |
//! | Memory, threads and descriptors return to what they were | all of it is bounded | `machine::load::descriptors_and_threads_return_to_their_start`, and `scripts/soak` |
//! | A dead mount is replaced, and told from a hung one | the process table is asked, not the mount | `commands::mount::a_dead_mount_is_replaced_even_where_a_shell_stands_in_it`, `doctor::a_dead_mount_is_told_and_with_fix_taken_away`, `doctor::a_mount_whose_process_is_stopped_hangs_and_stays` |
//!
//! | promise | how | tests |
//! |---|---|---|
//! | A run is what its agent did, to read, at the price of its rows | events are drawn one by one; all files are of one log | `living::conversation::a_log_is_what_happened_and_not_json`, `living::conversation::a_conversation_costs_no_call_beyond_the_rows_of_the_log`, `living::conversation::tail_shows_a_transcript_grow_within_two_seconds` |
//! | … and what an agent wrote runs and fetches nothing | escaped, and a policy in the page's head | `living::conversation::a_browser_shows_a_report_and_runs_and_fetches_nothing_in_it` |
//! | A script that waits for a status sees the end with its next look | looking again is following | `living::status::scripts_that_wait_for_a_status_see_it_end`, `living::status::a_minute_of_looking_at_the_status_costs_one_stream` |
//! | An archive is the folder that was packed, whichever program packed it | read as GNU tar and bsdtar agree; else refused | `archives::every_program_s_archive_is_shown_as_the_folder_that_was_packed`, `archives::fields::numbers_are_read_as_gnu_tar_and_bsdtar_agree`, `archives::holes::a_file_of_a_tebibyte_of_hole_costs_next_to_nothing` |
//! | A program sees the same bytes by every way of reading | what is fixed goes through the page cache, what changes past it | `ways::files_of_ours_are_the_same_by_every_way_of_reading`, `ways::files_of_a_version_are_the_same_by_every_way_of_reading` |
//! | Files are told apart in JavaScript, links come to an end, attributes fit on a disk | inode numbers below 2^53; links lead to files or down; 2 kB in all | `tools::node::every_inode_number_is_exact_in_a_double_and_its_own`, `tree::links::programs_that_follow_links_end`, `tools::attributes::a_version_with_a_long_message_and_many_symlinks_can_be_copied_with_its_attributes` |
//! | No signal of the environment ends a mount | each is blocked or handled | `ending::signals::no_other_signal_ends_a_mount_or_stops_it` |
//! | A request is sent as it was meant, once, or not at all | marks are skipped, broken objects refused, modes ignored | `living::marks::a_request_behind_a_byte_order_mark_is_understood`, `living::marks::what_begins_like_an_object_and_is_none_is_never_sent_nor_told`, `living::copying::whatever_a_copy_keeps_of_a_file_it_starts_one_run_and_succeeds` |
//! | A server that is no v1 is named | told by the form of its answers | `service::foreign::a_mount_of_one_fails_and_says_what_was_asked_what_came_and_what_to_do` |

#![allow(clippy::unwrap_used)]

mod archives;
mod budgets;
mod cache;
mod commands;
mod config;
mod crawlers;
mod doctor;
mod ending;
mod faults;
mod hostile;
mod leaks;
mod living;
mod machine;
mod metrics;
mod model;
mod offline;
mod rules;
mod service;
mod smoke;
mod streaming;
mod support;
mod tools;
mod tree;
mod waiting;
mod ways;
