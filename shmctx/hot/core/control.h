/* The Ring's methods that look at and move the control words: positions, waiting, leader, participants, counters. */
#ifndef SHX_CONTROL_H
#define SHX_CONTROL_H

#include "glue.h"

PyObject *control_header(PyObject *self, PyObject *none);
PyObject *control_positions(PyObject *self, PyObject *none);
PyObject *control_live(PyObject *self, PyObject *position);
PyObject *control_set_drained(PyObject *self, PyObject *position);
PyObject *control_set_tail(PyObject *self, PyObject *position);
PyObject *control_erase(PyObject *self, PyObject *position);
PyObject *control_place_end(PyObject *self, PyObject *none);
PyObject *control_settle(PyObject *self, PyObject *none);
PyObject *control_wait_head(PyObject *self, PyObject *args);
PyObject *control_wait_drained(PyObject *self, PyObject *args);
PyObject *control_wait_urgent(PyObject *self, PyObject *args);
PyObject *control_request_drain(PyObject *self, PyObject *none);
PyObject *control_urgent(PyObject *self, PyObject *none);
PyObject *control_seal(PyObject *self, PyObject *timeout);
PyObject *control_state(PyObject *self, PyObject *none);
PyObject *control_holder(PyObject *self, PyObject *none);
PyObject *control_set_lock_limit(PyObject *self, PyObject *seconds);
PyObject *control_set_leader(PyObject *self, PyObject *args);
PyObject *control_note_drain(PyObject *self, PyObject *args);
PyObject *control_leader(PyObject *self, PyObject *none);
PyObject *control_join(PyObject *self, PyObject *args);
PyObject *control_leave(PyObject *self, PyObject *none);
PyObject *control_seen(PyObject *self, PyObject *time_ns);
PyObject *control_participants(PyObject *self, PyObject *none);
PyObject *control_count(PyObject *self, PyObject *args);
PyObject *control_counters(PyObject *self, PyObject *none);

#define CONTROL_METHODS                                              \
    {"header", control_header, METH_NOARGS, NULL},                   \
    {"positions", control_positions, METH_NOARGS, NULL},             \
    {"live", control_live, METH_O, NULL},                            \
    {"set_drained", control_set_drained, METH_O, NULL},              \
    {"set_tail", control_set_tail, METH_O, NULL},                    \
    {"erase", control_erase, METH_O, NULL},                          \
    {"place_end", control_place_end, METH_NOARGS, NULL},             \
    {"settle", control_settle, METH_NOARGS, NULL},                   \
    {"wait_head", control_wait_head, METH_VARARGS, NULL},            \
    {"wait_drained", control_wait_drained, METH_VARARGS, NULL},      \
    {"wait_urgent", control_wait_urgent, METH_VARARGS, NULL},        \
    {"request_drain", control_request_drain, METH_NOARGS, NULL},     \
    {"urgent", control_urgent, METH_NOARGS, NULL},                   \
    {"seal", control_seal, METH_O, NULL},                            \
    {"state", control_state, METH_NOARGS, NULL},                     \
    {"holder", control_holder, METH_NOARGS, NULL},                   \
    {"set_lock_limit", control_set_lock_limit, METH_O, NULL},        \
    {"set_leader", control_set_leader, METH_VARARGS, NULL},          \
    {"note_drain", control_note_drain, METH_VARARGS, NULL},          \
    {"leader", control_leader, METH_NOARGS, NULL},                   \
    {"join", control_join, METH_VARARGS, NULL},                      \
    {"leave", control_leave, METH_NOARGS, NULL},                     \
    {"seen", control_seen, METH_O, NULL},                            \
    {"participants", control_participants, METH_NOARGS, NULL},       \
    {"count", control_count, METH_VARARGS, NULL},                    \
    {"counters", control_counters, METH_NOARGS, NULL}

#endif
