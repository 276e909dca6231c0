// The gRPC library as a whole, for every folder that makes a channel or a server.
#pragma once

namespace holdfast::api {

// Call it before the first channel or server; again costs nothing. Thread-safe.
//
// The library's log lines go to our log from -v=1 on: what they tell comes back to us as a status anyway. And its
// callback threads are kept for good. They live as long as some channel or server that has used them, and whoever lets
// go of the last one joins them: when that happens in a callback a thread joins itself and the process dies. Callbacks
// here do own what holds a channel, so one channel that is never let go of, and never connected, keeps the threads.
void prepare_library();

// The window of a stream. The library can measure what a connection takes, with a ping for each bunch of data; reports
// of some bytes every 250 ms would cost twice the awakenings so, and a snapshot or a volume fits well into this.
constexpr int kStreamWindowBytes = 16 << 20;

}  // namespace holdfast::api
