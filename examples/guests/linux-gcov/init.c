/* The first process of the Linux guest: makes the kernel work when it is told to, and hands out what the kernel itself
   says of its coverage.

   What enters are orders, a line each, on the second serial port; what leaves is a line on the console for each, once
   it is done:

     work   works, over and over, until another order comes    "at work"
     rest   does nothing more                                  "at rest"
     serve  copies all .gcda files of debugfs to the disk      "served COUNT files"

   On the disk a file is its path below GCOV_ROOT, its length, each with a newline behind it, and its bytes; an empty
   line ends them. */

#define _XOPEN_SOURCE 700
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define GCOV_ROOT "/sys/kernel/debug/gcov"
#define ORDERS "/dev/ttyS1"
#define DISK "/dev/vda"

static FILE *disk;
static char *content;
static size_t capacity;
static int files;

static void check(int is_well, const char *what) {
    if (!is_well)
        err(1, "%s", what);
}

/* The whole file at `path` in `content`; its length. The kernel tells it only at the end. */
static size_t read_all(const char *path) {
    size_t len = 0;
    int fd = open(path, O_RDONLY);

    check(fd >= 0, path);
    for (;;) {
        if (len == capacity) {
            capacity = capacity ? 2 * capacity : 1 << 16;
            content = realloc(content, capacity);
            check(content != NULL, "memory");
        }
        ssize_t got = read(fd, content + len, capacity - len);
        check(got >= 0, path);
        if (got == 0)
            break;
        len += got;
    }
    close(fd);
    return len;
}

static int serve_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    size_t name = strlen(path);

    (void)status;
    (void)place;
    if (kind != FTW_F || name < 5 || strcmp(path + name - 5, ".gcda"))
        return 0;
    size_t len = read_all(path);
    fprintf(disk, "%s\n%zu\n", path + strlen(GCOV_ROOT), len);
    check(fwrite(content, 1, len, disk) == len, DISK);
    files++;
    return 0;
}

static void serve(void) {
    files = 0;
    disk = fopen(DISK, "r+");
    check(disk != NULL, DISK);
    check(nftw(GCOV_ROOT, serve_one, 16, FTW_PHYS) == 0, GCOV_ROOT);
    check(fputc('\n', disk) != EOF && fflush(disk) == 0, DISK);
    check(fsync(fileno(disk)) == 0 && fclose(disk) == 0, DISK);
    printf("served %d files\n", files);
}

/* A process, its memory, a pipe and its end. */
static void use_processes(void) {
    int ends[2], status;
    char byte = 'x';

    check(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0)
        _exit(write(ends[1], &byte, 1) == 1 ? 0 : 1);
    check(waitpid(child, &status, 0) == child && status == 0, "child");
    check(read(ends[0], &byte, 1) == 1, "pipe");
    close(ends[0]);
    close(ends[1]);
}

static void use_files(void) {
    char text[512] = "";
    FILE *file = fopen("/tmp/made", "w+");

    check(file != NULL, "/tmp/made");
    for (int i = 0; i < 64; i++)
        check(fwrite(text, sizeof(text), 1, file) == 1, "/tmp/made");
    check(fclose(file) == 0 && rename("/tmp/made", "/tmp/moved") == 0, "/tmp/moved");
    check(truncate("/tmp/moved", 100) == 0 && unlink("/tmp/moved") == 0, "/tmp/moved");
    read_all("/proc/meminfo");
    read_all("/proc/self/maps");
}

/* A message to itself. */
static void use_sockets(void) {
    int ends[2];
    char text[4] = "abc";

    check(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0, "socketpair");
    check(send(ends[0], text, sizeof(text), 0) == sizeof(text), "send");
    check(recv(ends[1], text, sizeof(text), 0) == sizeof(text), "recv");
    close(ends[0]);
    close(ends[1]);
}

static void work(void) {
    use_processes();
    use_files();
    use_sockets();
}

static void set_up(void) {
    struct termios raw;

    check(mount("proc", "/proc", "proc", 0, NULL) == 0, "/proc");
    check(mount("sysfs", "/sys", "sysfs", 0, NULL) == 0, "/sys");
    check(mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) == 0, "/sys/kernel/debug");
    check(mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) == 0, "/dev");
    check(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0, "/tmp");
    int orders = open(ORDERS, O_RDONLY);
    check(orders >= 0 && tcgetattr(orders, &raw) == 0, ORDERS);
    raw.c_lflag &= ~ECHO;
    check(tcsetattr(orders, TCSANOW, &raw) == 0 && dup2(orders, 0) == 0, ORDERS);
}

int main(void) {
    int is_at_work = 0;
    char line[64];

    setvbuf(stdout, NULL, _IOLBF, 0);
    set_up();
    puts("at rest");
    for (;;) {
        struct pollfd order = { .fd = 0, .events = POLLIN };

        if (poll(&order, 1, is_at_work ? 0 : -1) == 0) {
            work();
            continue;
        }
        ssize_t len = read(0, line, sizeof(line) - 1);
        check(len > 0, ORDERS);
        line[len] = 0;
        if (!strcmp(line, "work\n") || !strcmp(line, "rest\n")) {
            is_at_work = line[0] == 'w';
            puts(is_at_work ? "at work" : "at rest");
        } else if (!strcmp(line, "serve\n")) {
            serve();
        } else {
            printf("no such order: %s", line);
        }
    }
}
