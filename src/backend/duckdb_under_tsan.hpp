#pragma once

// For one file of a test's program that has DuckDB open a file.

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
/// DuckDB takes more locks at a time than ThreadSanitizer's detector of deadlocks can hold, which then ends the
/// program.
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
extern "C" const char* __tsan_default_options() { return "detect_deadlocks=0"; }
#endif
#endif
