/* Kills its process at the n-th call that changes something under a folder; to be preloaded.

   koa_arm(root, n, torn, power): the n-th call from now on is the last one, 0 never. Before it is done the process dies.
   torn: of a write, half is done. power: what was not flushed is taken back first, as a power cut may leave it: of files
   their content, of folders the names that were made, changed or removed; with 2, of the writes only some, at random,
   whose bytes are what was there before or zeros. koa_calls() tells how many calls there were. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[PATH_MAX], lost[PATH_MAX]; /* the folder, with a slash at its end; keeps what was removed */
static long calls, last;
static int torn, power;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

typedef struct Undo {
    struct Undo *before;
    int kind; /* 'd': data and size of a file; 'c': a name was made; 'r': renamed; 'u': removed, kept under `kept` */
    char name[PATH_MAX], other[PATH_MAX];
    int file;
    ino_t inode;
    off_t offset, size;
    size_t length, room; /* bytes that were there, and that were written; the content has zeros behind its length */
    char *content;
} Undo;
static Undo *undos;

static int under(const char *path) { return root[0] && strncmp(path, root, strlen(root)) == 0; }

static int full(int folder, const char *path, char *out) {
    char link[64];
    if (path[0] == '/') { snprintf(out, PATH_MAX, "%s", path); return under(out); }
    if (folder == AT_FDCWD) { if (!getcwd(out, PATH_MAX)) return 0; }
    else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, out, PATH_MAX - 1);
        if (n < 0) return 0;
        out[n] = 0;
    }
    strncat(out, "/", PATH_MAX - strlen(out) - 1);
    strncat(out, path, PATH_MAX - strlen(out) - 1);
    return under(out);
}

static int of_descriptor(int fd, char *out) {
    char link[64];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return under(out);
}

static void take_back(void) {
    for (Undo *u = undos; u; u = u->before) {
        if (u->kind == 'c') { if (syscall(SYS_unlink, u->name)) syscall(SYS_rmdir, u->name); }
        if (u->kind == 'r' || u->kind == 'u') syscall(SYS_rename, u->other, u->name);
        if (u->kind == 'd' && power == 1) {
            syscall(SYS_ftruncate, u->file, u->size);
            if (u->length) syscall(SYS_pwrite64, u->file, u->content, u->length, u->offset);
        }
        if (u->kind == 'd' && power == 2 && rand() % 2) syscall(SYS_pwrite64, u->file, u->content, u->room, u->offset);
    }
}

static void die(void) {
    if (power) { srand(calls); take_back(); }
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call; says whether it is to be torn, after which `die` is called. */
static int at_call(int can_tear) {
    if (!last) { __sync_fetch_and_add(&calls, 1); return 0; }
    pthread_mutex_lock(&lock);
    int is_last = ++calls == last;
    if (is_last && can_tear && torn) return 1;
    if (is_last) die();
    pthread_mutex_unlock(&lock);
    return 0;
}

static Undo *noted(int kind) {
    Undo *u = calloc(1, sizeof *u);
    u->kind = kind;
    u->before = undos;
    return undos = u;
}

static void note_data(int fd, off_t offset, size_t length) {
    struct stat s;
    char link[64];
    if (!power || !last || fstat(fd, &s) || !S_ISREG(s.st_mode)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    pthread_mutex_lock(&lock);
    Undo *u = noted('d');
    u->file = syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
    u->inode = s.st_ino, u->size = s.st_size, u->offset = offset;
    u->room = length;
    u->content = calloc(1, length + 1);
    ssize_t n = u->file < 0 ? 0 : syscall(SYS_pread64, u->file, u->content, length, offset);
    u->length = n > 0 ? n : 0;
    pthread_mutex_unlock(&lock);
}

static void note_name(int kind, const char *name, const char *other) {
    if (!power || !last) return;
    pthread_mutex_lock(&lock);
    Undo *u = noted(kind);
    snprintf(u->name, PATH_MAX, "%s", name);
    snprintf(u->other, PATH_MAX, "%s", other ? other : "");
    pthread_mutex_unlock(&lock);
}

static int is_in(const char *path, const char *folder) {
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static void flushed(int fd) {
    struct stat s;
    char path[PATH_MAX];
    if (!power || !last || fstat(fd, &s) || !of_descriptor(fd, path)) return;
    pthread_mutex_lock(&lock);
    for (Undo **u = &undos; *u;) {
        int is_name = is_in((*u)->name, path) || ((*u)->kind == 'r' && is_in((*u)->other, path));
        int done = (*u)->kind == 'd' ? (*u)->inode == s.st_ino : S_ISDIR(s.st_mode) && is_name;
        if (done) *u = (*u)->before; else u = &(*u)->before;
    }
    pthread_mutex_unlock(&lock);
}

void koa_arm(const char *folder, long n, int is_torn, int is_power) {
    snprintf(lost, sizeof lost, "%.3900s.lost", folder);
    snprintf(root, sizeof root, "%.3900s/", folder);
    calls = 0, last = n, torn = is_torn, power = is_power;
}
long koa_calls(void) { return calls; }

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    int is_new = 0, mine = (flags & (O_CREAT | O_TRUNC)) && full(folder, path, name);
    if (mine) { struct stat s; is_new = lstat(name, &s) != 0; if (is_new || (flags & O_TRUNC)) at_call(0); }
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && is_new) note_name('c', name, 0);
    return fd;
}
#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, int); va_end(a); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }

ssize_t write(int fd, const void *data, size_t n) {
    char name[PATH_MAX];
    if (of_descriptor(fd, name)) {
        if (at_call(1)) { syscall(SYS_write, fd, data, n / 2); die(); }
        off_t at = lseek(fd, 0, SEEK_CUR);
        note_data(fd, at < 0 ? 0 : at, n);
    }
    return syscall(SYS_write, fd, data, n);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) {
    char name[PATH_MAX];
    if (of_descriptor(fd, name)) {
        if (at_call(1)) { syscall(SYS_pwrite64, fd, data, n / 2, at); die(); }
        note_data(fd, at, n);
    }
    return syscall(SYS_pwrite64, fd, data, n, at);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return pwrite64(fd, data, n, at); }
int ftruncate64(int fd, off_t n) {
    char name[PATH_MAX];
    struct stat s;
    if (of_descriptor(fd, name)) {
        at_call(0);
        if (!fstat(fd, &s) && s.st_size > n) note_data(fd, n, s.st_size - n); else note_data(fd, 0, 0);
    }
    return syscall(SYS_ftruncate, fd, n);
}
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }
int fsync(int fd) {
    char name[PATH_MAX];
    if (of_descriptor(fd, name)) at_call(0);
    int said = syscall(SYS_fsync, fd);
    flushed(fd);
    return said;
}
int fdatasync(int fd) {
    char name[PATH_MAX];
    if (of_descriptor(fd, name)) at_call(0);
    int said = syscall(SYS_fdatasync, fd);
    flushed(fd);
    return said;
}

static void before_loss(const char *name) { /* what stands there gets a name outside, so that it can come back */
    static int number;
    char kept[PATH_MAX];
    if (!power || !last) return;
    snprintf(kept, PATH_MAX, "%.3950s/%d", lost, number++);
    syscall(SYS_mkdir, lost, 0777);
    if (syscall(SYS_link, name, kept) == 0) note_name('u', name, kept);
}

static int renamed(int f, const char *from, int t, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    int mine = full(f, from, a);
    mine |= full(t, to, b);
    if (mine) at_call(0);
    if (mine) before_loss(b);
    int said = syscall(SYS_renameat, f, from, t, to);
    if (said == 0 && mine) note_name('r', a, b);
    return said;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int f, const char *from, int t, const char *to) { return renamed(f, from, t, to); }
int linkat(int f, const char *from, int t, const char *to, int flags) {
    char b[PATH_MAX];
    int mine = full(t, to, b);
    if (mine) at_call(0);
    int said = syscall(SYS_linkat, f, from, t, to, flags);
    if (said == 0 && mine) note_name('c', b, 0);
    return said;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int unlinkat(int f, const char *path, int flags) {
    char a[PATH_MAX];
    if (full(f, path, a)) { at_call(0); before_loss(a); }
    return syscall(SYS_unlinkat, f, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int f, const char *path, mode_t mode) {
    char a[PATH_MAX];
    int mine = full(f, path, a);
    if (mine) at_call(0);
    int said = syscall(SYS_mkdirat, f, path, mode);
    if (said == 0 && mine) note_name('c', a, 0);
    return said;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int utimensat(int f, const char *path, const struct timespec t[2], int flags) {
    char a[PATH_MAX];
    if (full(f, path, a)) at_call(0);
    return syscall(SYS_utimensat, f, path, t, flags);
}
