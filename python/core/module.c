/* The module evenloop._core. Everything it keeps is the interpreter's: nothing is static. */
#include "core.h"

static int intern(PyObject **where, const char *text)
{
    return (*where = PyUnicode_InternFromString(text)) ? 0 : -1;
}

static int take(PyObject *from, const char *name, PyObject **where)
{
    return (*where = PyObject_GetAttrString(from, name)) ? 0 : -1;
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)(void *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

static int module_exec(PyObject *module)
{
    struct state *s = state_of_module(module);
    if (intern(&s->str_context, "context") < 0 || intern(&s->str_call_soon, "call_soon") < 0 ||
        intern(&s->str_call_at, "call_at") < 0 || intern(&s->str_call_soon_threadsafe, "call_soon_threadsafe") < 0 ||
        intern(&s->str_backend, "backend") < 0 || intern(&s->str_seed, "seed") < 0 ||
        intern(&s->str_thread_id, "_thread_id") < 0 || intern(&s->str_data_received, "data_received") < 0 ||
        intern(&s->str_get_buffer, "get_buffer") < 0 || intern(&s->str_buffer_updated, "buffer_updated") < 0 ||
        intern(&s->str_on_eof, "_on_eof") < 0 || intern(&s->str_on_flushed, "_on_flushed") < 0 ||
        intern(&s->str_maybe_pause, "_maybe_pause_protocol") < 0 ||
        intern(&s->str_maybe_resume, "_maybe_resume_protocol") < 0 || intern(&s->str_done, "done") < 0 ||
        intern(&s->str_set_result, "set_result") < 0 || intern(&s->str_create_future, "create_future") < 0 ||
        intern(&s->str_add_done_callback, "add_done_callback") < 0 || !(s->minus_one = PyLong_FromLong(-1)) || !(s->empty_tuple = PyTuple_New(0)))
        return -1;
    PyObject *support = PyImport_ImportModule("evenloop._support");
    if (!support)
        return -1;
    int rc = take(support, "handle_failed", &s->handle_failed) < 0 ||
                     take(support, "callback_failed", &s->callback_failed) < 0 || take(support, "run_debug", &s->run_debug) < 0 ||
                     take(support, "check_call", &s->check_call) < 0 || take(support, "extract_stack", &s->extract_stack) < 0
                 ? -1
                 : 0;
    Py_DECREF(support);
    if (rc < 0 || !(s->loop_type = add_type(module, &even__loop_spec)) ||
        !(s->watch_type = add_type(module, &even__watch_spec)) ||
        !(s->stream_type = add_type(module, &even__stream_spec)) || !(s->wait_type = add_type(module, &even__wait_spec)) || stream_learn_slots(s) < 0 || handle_types_make(module, s) < 0 ||
        PyModule_AddType(module, s->handle_type) < 0 || PyModule_AddType(module, s->timer_handle_type) < 0 ||
        PyModule_AddStringConstant(module, "version", even_version()) < 0)
        return -1;
    return 0;
}

/* Every object of the state, once. */
#define STATE(X)                                                                                                       \
    X(loop_type) X(handle_type) X(timer_handle_type) X(watch_type) X(handle_failed) X(callback_failed) X(run_debug) X(check_call)         \
    X(extract_stack) X(empty_tuple) X(str_context) X(str_call_soon) X(str_call_at) X(str_call_soon_threadsafe)         \
    X(str_backend) X(str_seed) X(str_thread_id) X(str_data_received) X(str_get_buffer)                \
    X(str_buffer_updated) X(str_on_eof) X(str_on_flushed) X(str_maybe_pause) X(str_maybe_resume) X(minus_one)         \
    X(stream_type) X(flow_control) X(wait_type) X(str_done) X(str_set_result) X(str_create_future)                     \
    X(str_add_done_callback)

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *s = state_of_module(module);
#define VISIT(name) Py_VISIT(s->name);
    STATE(VISIT)
    return 0;
}

static int module_clear(PyObject *module)
{
    struct state *s = state_of_module(module);
#define CLEAR(name) Py_CLEAR(s->name);
    STATE(CLEAR)
    return 0;
}

static void module_free(void *module)
{
    (void)module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    { Py_mod_exec, module_exec },
#if PY_VERSION_HEX >= 0x030C0000
    { Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED },
#endif
    { 0, NULL },
};

PyModuleDef even__module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "evenloop._core",
    .m_doc = "The loop, on the core of libevenloop.",
    .m_size = sizeof(struct state),
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&even__module);
}
