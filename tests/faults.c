/* Makes the n-th call that changes something below a directory fail; loaded by LD_PRELOAD.

   `faults_arm` says which call of this process fails; nothing does before it. The counter and the
   name of the call are shared with the processes that this one is forked from.
*/

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct shared {
    atomic_long calls;
    atomic_int failed;
    char call[32];
    char path[PATH_MAX];
};

static struct shared *shared;
static char directory[PATH_MAX];
static long target;
static int error_number;
static int stays_full;
static atomic_int is_armed, is_full;

__attribute__((constructor)) static void begin(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Call number `call` below `below` fails with `error`; 0 only counts. With `full` the device is full
   from that call on: a write is cut in half, and what needs space fails, again and again. */
void faults_arm(const char *below, long call, int error, int full) {
    strncpy(directory, below, sizeof directory - 1);
    target = call;
    error_number = error;
    stays_full = full;
    is_armed = 1;
}

void faults_reset(void) { memset(shared, 0, sizeof *shared); }
long faults_calls(void) { return shared->calls; }
int faults_failed(void) { return shared->failed; }
const char *faults_call(void) { return shared->call; }
const char *faults_path(void) { return shared->path; }

enum { GOES_ON, IS_CUT, FAILS };

static int is_below(const char *path) {
    size_t length = strlen(directory);
    return !strncmp(path, directory, length) && (path[length] == '/' || !path[length]);
}

/* What becomes of a call: a name, the path it is about, whether it needs space on the device. */
static int judge(const char *call, const char *path, int needs_space) {
    if (!is_below(path))
        return GOES_ON;
    long number = ++shared->calls;
    if (number == target) {
        snprintf(shared->call, sizeof shared->call, "%s", call);
        snprintf(shared->path, sizeof shared->path, "%s", path);
        if (stays_full) {
            is_full = 1;
            if (needs_space && strstr(call, "write")) {
                shared->failed = 1;
                return IS_CUT;
            }
        } else {
            shared->failed = 1;
            errno = error_number;
            return FAILS;
        }
    }
    if (is_full && needs_space) {
        shared->failed = 1;
        errno = error_number;
        return FAILS;
    }
    return GOES_ON;
}

static int of_path(const char *call, int at, const char *path, int needs_space) {
    char whole[PATH_MAX], base[PATH_MAX / 2], link[64];
    if (!is_armed || !path)
        return GOES_ON;
    if (path[0] == '/')
        return judge(call, path, needs_space);
    if (at == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0)
        return GOES_ON;
    base[length] = 0;
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return judge(call, whole, needs_space);
}

static int of_descriptor(const char *call, int descriptor, int needs_space) {
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!is_armed)
        return GOES_ON;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return GOES_ON;
    path[length] = 0;
    return judge(call, path, needs_space);
}

static int is_written(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags >= 0 && ((flags & O_ACCMODE) != O_RDONLY || flags & O_DIRECTORY);
}

#define REAL(result, name, ...)                                                                    \
    static result (*real)(__VA_ARGS__);                                                            \
    if (!real)                                                                                     \
        real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* Opens that may write, and those of directories, which are opened to be synced. */
static int opens(int at, const char *path, int flags) {
    if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_DIRECTORY)))
        return GOES_ON;
    return of_path("open", at, path, !!(flags & O_CREAT));
}

#define MODE(flags)                                                                                \
    mode_t mode = 0;                                                                               \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) {                                 \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        REAL(int, name, const char *, int, ...);                                                   \
        MODE(flags)                                                                                \
        return opens(AT_FDCWD, path, flags) == FAILS ? -1 : real(path, flags, mode);               \
    }
#define OPENAT(name)                                                                               \
    int name(int at, const char *path, int flags, ...) {                                           \
        REAL(int, name, int, const char *, int, ...);                                              \
        MODE(flags)                                                                                \
        return opens(at, path, flags) == FAILS ? -1 : real(at, path, flags, mode);                 \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name)                                                                                \
    int name(const char *path, mode_t mode) {                                                      \
        REAL(int, name, const char *, mode_t);                                                     \
        return of_path("open", AT_FDCWD, path, 1) == FAILS ? -1 : real(path, mode);                \
    }
CREAT(creat)
CREAT(creat64)

ssize_t write(int descriptor, const void *data, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    int found = of_descriptor("write", descriptor, 1);
    return found == FAILS ? -1 : real(descriptor, data, found == IS_CUT ? (length + 1) / 2 : length);
}

#define PWRITE(name)                                                                               \
    ssize_t name(int descriptor, const void *data, size_t length, off_t offset) {                  \
        REAL(ssize_t, name, int, const void *, size_t, off_t);                                     \
        int found = of_descriptor("pwrite", descriptor, 1);                                        \
        length = found == IS_CUT ? (length + 1) / 2 : length;                                      \
        return found == FAILS ? -1 : real(descriptor, data, length, offset);                       \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    int found = of_descriptor("writev", descriptor, 1);
    if (found == FAILS)
        return -1;
    return real(descriptor, pieces, found == IS_CUT ? (count + 1) / 2 : count);
}

#define PWRITEV(name)                                                                              \
    ssize_t name(int descriptor, const struct iovec *pieces, int count, off_t offset) {            \
        REAL(ssize_t, name, int, const struct iovec *, int, off_t);                                \
        int found = of_descriptor("pwritev", descriptor, 1);                                       \
        if (found == FAILS)                                                                        \
            return -1;                                                                             \
        return real(descriptor, pieces, found == IS_CUT ? (count + 1) / 2 : count, offset);        \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

/* Linux lets go of a descriptor whose close fails. */
int close(int descriptor) {
    REAL(int, close, int);
    int found = is_armed && is_written(descriptor) ? of_descriptor("close", descriptor, 0) : GOES_ON;
    int failure = errno;
    int result = real(descriptor);
    if (found != FAILS)
        return result;
    errno = failure;
    return -1;
}

/* Nobody cuts the power here, and the disk is slow: what does not fail does nothing. */
int fsync(int descriptor) { return of_descriptor("fsync", descriptor, 0) == FAILS ? -1 : 0; }
int fdatasync(int descriptor) { return of_descriptor("fdatasync", descriptor, 0) == FAILS ? -1 : 0; }

#define OF_DESCRIPTOR(name, needs_space, parameters, ...)                                          \
    int name parameters {                                                                          \
        static int(*real) parameters;                                                              \
        if (!real)                                                                                 \
            real = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                     \
        return of_descriptor(#name, descriptor, needs_space) == FAILS ? -1 : real(__VA_ARGS__);    \
    }
OF_DESCRIPTOR(fchmod, 0, (int descriptor, mode_t mode), descriptor, mode)
OF_DESCRIPTOR(ftruncate, 0, (int descriptor, off_t length), descriptor, length)
OF_DESCRIPTOR(ftruncate64, 0, (int descriptor, off_t length), descriptor, length)
OF_DESCRIPTOR(fallocate, 1, (int descriptor, int mode, off_t from, off_t length), descriptor, mode,
              from, length)
OF_DESCRIPTOR(fallocate64, 1, (int descriptor, int mode, off_t from, off_t length), descriptor,
              mode, from, length)

#define OF_PATH(name, needs_space, at, path, parameters, ...)                                      \
    int name parameters {                                                                          \
        static int(*real) parameters;                                                              \
        if (!real)                                                                                 \
            real = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                     \
        return of_path(#name, at, path, needs_space) == FAILS ? -1 : real(__VA_ARGS__);            \
    }
OF_PATH(truncate, 0, AT_FDCWD, path, (const char *path, off_t length), path, length)
OF_PATH(truncate64, 0, AT_FDCWD, path, (const char *path, off_t length), path, length)
OF_PATH(rename, 0, AT_FDCWD, to, (const char *from, const char *to), from, to)
OF_PATH(renameat, 0, at, to, (int there, const char *from, int at, const char *to), there, from, at,
        to)
OF_PATH(renameat2, 0, at, to,
        (int there, const char *from, int at, const char *to, unsigned int flags), there, from, at,
        to, flags)
OF_PATH(link, 1, AT_FDCWD, to, (const char *from, const char *to), from, to)
OF_PATH(linkat, 1, at, to, (int there, const char *from, int at, const char *to, int flags), there,
        from, at, to, flags)
OF_PATH(mkdir, 1, AT_FDCWD, path, (const char *path, mode_t mode), path, mode)
OF_PATH(mkdirat, 1, at, path, (int at, const char *path, mode_t mode), at, path, mode)
OF_PATH(unlink, 0, AT_FDCWD, path, (const char *path), path)
OF_PATH(unlinkat, 0, at, path, (int at, const char *path, int flags), at, path, flags)
OF_PATH(rmdir, 0, AT_FDCWD, path, (const char *path), path)
