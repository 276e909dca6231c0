// What the leak checker is told by every program and test (see cmake/holdfast.cmake): it must be linked into each,
// since the checker asks the program itself and not its libraries.
#if defined(__SANITIZE_ADDRESS__)
// gRPC's resolver (c-ares 1.18) forgets the name of each lookup that it answers from /etc/hosts.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libcares\n"; }
extern "C" const char* __lsan_default_options();
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
#endif
