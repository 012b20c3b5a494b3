#include "tracee.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

static void run_child(shx_status (*body)(void *), void *context) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(EXIT_NO_PTRACE);
    raise(SIGSTOP);
    _exit((int)body(context));
}

/* Wait for the next stop. A tracee that dies by a signal of its own is a bug in the core. */
static void await_stop(tracee *child) {
    int status;
    if (waitpid(child->pid, &status, 0) != child->pid) FAIL("waitpid: %s", strerror(errno));
    if (WIFEXITED(status)) {
        child->exited = true;
        child->status = WEXITSTATUS(status);
        return;
    }
    if (!WIFSTOPPED(status) || (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP))
        FAIL("the tracee got signal %d at %lx", WIFSTOPPED(status) ? WSTOPSIG(status) : WTERMSIG(status), child->rip);
}

static void read_registers(tracee *child, struct user_regs_struct *registers) {
    if (ptrace(PTRACE_GETREGS, child->pid, NULL, registers) != 0) FAIL("PTRACE_GETREGS: %s", strerror(errno));
    child->rip = registers->rip;
}

static void go_on(tracee *child, enum __ptrace_request how) {
    if (ptrace(how, child->pid, NULL, NULL) != 0) FAIL("ptrace %d: %s", (int)how, strerror(errno));
    await_stop(child);
}

static uint64_t peek(const tracee *child, uint64_t address) {
    errno = 0;
    uint64_t word = (uint64_t)ptrace(PTRACE_PEEKDATA, child->pid, address, NULL);
    if (errno) FAIL("PTRACE_PEEKDATA %lx: %s", address, strerror(errno));
    return word;
}

static void poke(const tracee *child, uint64_t address, uint64_t word) {
    if (ptrace(PTRACE_POKEDATA, child->pid, address, word) != 0) FAIL("PTRACE_POKEDATA: %s", strerror(errno));
}

void tracee_start(tracee *child, shx_status (*body)(void *), void *context, uint64_t entered) {
    struct user_regs_struct registers;
    memset(child, 0, sizeof *child);
    fflush(NULL);
    child->pid = fork();
    if (child->pid < 0) FAIL("fork: %s", strerror(errno));
    if (child->pid == 0) run_child(body, context);
    await_stop(child);
    if (child->exited) _exit(child->status);
    ptrace(PTRACE_SETOPTIONS, child->pid, NULL, (void *)PTRACE_O_EXITKILL);
    tracee_run_to(child, entered, 1);
    read_registers(child, &registers);
    child->entry_stack = registers.rsp;
    child->return_address = peek(child, registers.rsp);
}

typedef struct {
    const world *w;
    shx_ring *ring;
    const entry *what;
} append_call;

static shx_status run_append(void *context) {
    append_call *call = context;
    uint64_t position;
    return world_run(call->w, call->ring, call->what, &position);
}

void tracee_append(tracee *child, const world *w, shx_ring *ring, const entry *what) {
    append_call call = {w, ring, what};
    tracee_start(child, run_append, &call, (uint64_t)(uintptr_t)shx_append);
}

bool tracee_step(tracee *child) {
    struct user_regs_struct registers;
    go_on(child, PTRACE_SINGLESTEP);
    if (child->exited) FAIL("the tracee left within the call");
    read_registers(child, &registers);
    return registers.rip != child->return_address || registers.rsp <= child->entry_stack;
}

/* Stand before `address` once more. A repeated string instruction is at its own address again after each round. */
static void arrive(tracee *child, uint64_t address) {
    struct user_regs_struct registers;
    read_registers(child, &registers);
    if (registers.rip == address) {
        go_on(child, PTRACE_SINGLESTEP);
        read_registers(child, &registers);
        if (registers.rip == address) return;
    }
    uint64_t code = peek(child, address);
    poke(child, address, (code & ~UINT64_C(0xff)) | 0xcc);
    go_on(child, PTRACE_CONT);
    if (child->exited) FAIL("the tracee never came to %lx", address);
    read_registers(child, &registers);
    if (registers.rip != address + 1) FAIL("stopped at %lx, not at %lx", child->rip, address + 1);
    poke(child, address, code);
    registers.rip = child->rip = address;
    if (ptrace(PTRACE_SETREGS, child->pid, NULL, &registers) != 0) FAIL("PTRACE_SETREGS: %s", strerror(errno));
}

void tracee_run_to(tracee *child, uint64_t address, unsigned arrival) {
    while (arrival--) arrive(child, address);
}

void tracee_finish(tracee *child) {
    while (!child->exited) go_on(child, PTRACE_CONT);
}

void tracee_kill(tracee *child) {
    int status;
    kill(child->pid, SIGKILL);
    if (waitpid(child->pid, &status, 0) != child->pid || !WIFSIGNALED(status)) FAIL("the tracee outlived SIGKILL");
}

/* The kernel's exit_robust_list: the entries of the list, then the operation in progress. */
bool tracee_death(const tracee *child, const shx_control *live, shx_control *image) {
    struct robust_list_head *head;
    size_t size;
    if (syscall(SYS_get_robust_list, child->pid, &head, &size) != 0) FAIL("get_robust_list: %s", strerror(errno));
    uint64_t list = (uint64_t)(uintptr_t)head, lock = (uint64_t)(uintptr_t)&live->writer.mutex.__data.__lock;
    uint64_t offset = peek(child, list + offsetof(struct robust_list_head, futex_offset));
    bool known = (peek(child, list + offsetof(struct robust_list_head, list_op_pending)) & ~UINT64_C(1)) + offset == lock;
    uint64_t item = peek(child, list);
    for (int i = 0; i < 64 && (item & ~UINT64_C(1)) != list; i++) {
        known |= (item & ~UINT64_C(1)) + offset == lock;
        item = peek(child, item & ~UINT64_C(1));
    }
    uint32_t word = (uint32_t)image->writer.mutex.__data.__lock;
    if ((word & FUTEX_TID_MASK) != (uint32_t)child->pid) return true;
    image->writer.mutex.__data.__lock = (int)((word & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
    return known;
}
