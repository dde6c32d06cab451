/* The module evenloop._core. Everything it keeps is the interpreter's: nothing is static. */
#include "core.h"

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)(void *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

static bool add_types(PyObject *module, struct state *s)
{
    return (s->loop_type = add_type(module, &even__loop_spec)) && (s->watch_type = add_type(module, &even__watch_spec)) &&
           (s->wait_type = add_type(module, &even__wait_spec)) && (s->port_type = add_type(module, &even__port_spec)) &&
           (s->child_type = add_type(module, &even__child_spec)) && handle_types_make(module, s) == 0 &&
           transport_type_make(module, s) == 0 && PyModule_AddType(module, s->handle_type) == 0 &&
           PyModule_AddType(module, s->timer_handle_type) == 0 && PyModule_AddType(module, s->transport_type) == 0;
}

static bool take_support(struct state *s)
{
    PyObject *support = PyImport_ImportModule("evenloop._support");
    bool ok = support != NULL;
#define TAKE(name) ok = ok && (s->name = PyObject_GetAttrString(support, #name));
    SUPPORT(TAKE)
    Py_XDECREF(support);
    return ok;
}

/* What is called or asked for often of asyncio's. */
static bool take_asyncio(struct state *s)
{
    const struct { const char *module, *class, *attribute; PyObject **to; } names[] = {
        { "asyncio.protocols", "BufferedProtocol", NULL, &s->buffered_protocol },
        { "asyncio.tasks", "Task", NULL, &s->task },
        { "asyncio.futures", "Future", NULL, &s->future },
        { "asyncio.base_events", "BaseEventLoop", "create_task", &s->create_task },
        { "socket", "socket", NULL, &s->socket },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *module = PyImport_ImportModule(names[i].module);
        PyObject *found = module ? PyObject_GetAttrString(module, names[i].class) : NULL;
        Py_XDECREF(module);
        if (found && names[i].attribute)
            Py_SETREF(found, PyObject_GetAttrString(found, names[i].attribute));
        if (!found)
            return false;
        *names[i].to = found;
    }
    return true;
}

static int module_exec(PyObject *module)
{
    struct state *s = state_of_module(module);
    bool ok = (s->empty_tuple = PyTuple_New(0)) && (s->minus_one = PyLong_FromLong(-1)) &&
              (s->names_loop = Py_BuildValue("(s)", "loop"));
#define INTERN(name, text) ok = ok && (s->str_##name = PyUnicode_InternFromString(text));
    STRINGS(INTERN)
    return ok && take_support(s) && take_asyncio(s) && add_types(module, s) &&
                   PyModule_AddStringConstant(module, "version", even_version()) == 0
               ? 0
               : -1;
}

/* Every object of the state, once. */
#define EACH_STRING(name, text) EACH(str_##name)
#define STATE                                                                                                          \
    EACH(loop_type) EACH(handle_type) EACH(timer_handle_type) EACH(watch_type) EACH(transport_type) EACH(wait_type)    \
    EACH(port_type) EACH(child_type) EACH(buffered_protocol) EACH(task) EACH(future) EACH(create_task) EACH(socket)    \
    EACH(empty_tuple) EACH(minus_one) EACH(names_loop) SUPPORT(EACH) STRINGS(EACH_STRING)

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *s = state_of_module(module);
#define EACH(name) Py_VISIT(s->name);
    STATE
#undef EACH
    return 0;
}

static int module_clear(PyObject *module)
{
    struct state *s = state_of_module(module);
#define EACH(name) Py_CLEAR(s->name);
    STATE
#undef EACH
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
