/* Copyright: the cfengine.hub_ha authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 *
 * A STAND-IN for CFEngine Enterprise's plug-in, which is closed: for the lab only.
 *
 * CFEngine's core loads lib/cfengine-enterprise.so from its work directory and calls functions of it by name. Of those
 * this one has what high availability shows in policy: SHA-256 digests, the edition's classes, and on a hub the classes
 * hub_active and hub_passive with sys.hub_active_ip, decided as ha.cfg says, and state/master_hub.dat. What the real one
 * writes there, and when, is not public: here it is the active hub's address, as in policy_server.dat, whose place it takes.
 *
 * No header is needed to compile it: declared here is all that it uses.
 */

typedef unsigned long size_t;
typedef struct FILE FILE;
extern FILE *fopen(const char *, const char *), *popen(const char *, const char *);
extern size_t fread(void *, size_t, size_t, FILE *), fwrite(const void *, size_t, size_t, FILE *), strlen(const char *);
extern int fclose(FILE *), pclose(FILE *), snprintf(char *, size_t, const char *, ...), rename(const char *, const char *);
extern int strcmp(const char *, const char *), strncmp(const char *, const char *, size_t), isspace(int), getpid(void);
extern char *strstr(const char *, const char *), *strchr(const char *, int), *strncpy(char *, const char *, size_t);

extern _Bool EvalContextClassPutHard(void *context, const char *name, const char *tags);
extern _Bool EvalContextVariablePutSpecial(void *context, int scope, const char *name, const void *value, int type,
                                           const char *tags);

#define CANARY 0x10203040 /* the core's own check that both sides mean the same arguments */
#define SCOPE_SYS 4
#define TYPE_STRING 0
#define SHA256 2
#define SHA256_LENGTH 32
#define MOST 4096
#define TAGS "source=agent"

const char *GetExtensionLibraryVersion(void)
{
    return VERSION;
}

void GenericAgentSetDefaultDigest__wrapper(int first, int *done, int *digest, int *length, int last)
{
    if (first == CANARY && last == CANARY)
    {
        *digest = SHA256;
        *length = SHA256_LENGTH;
        *done = 1;
    }
}

void GenericAgentAddEditionClasses__wrapper(int first, int *done, void *context, int last)
{
    if (first == CANARY && last == CANARY)
    {
        EvalContextClassPutHard(context, "enterprise", TAGS);
        EvalContextClassPutHard(context, "enterprise_edition", TAGS);
        EvalContextClassPutHard(context, "lab_stand_in_for_enterprise", TAGS);
        *done = 1;
    }
}

/* The file's text in *text*, which has room for MOST bytes; its length, 0 when it cannot be read. */
static size_t slurp(const char *path, char *text)
{
    FILE *file = fopen(path, "r");
    size_t length = 0;

    if (file)
    {
        length = fread(text, 1, MOST - 1, file);
        fclose(file);
    }
    text[length] = '\0';
    return length;
}

/* The first word of *text*, up to white space or one of *ends*, into *word* of *room* bytes. */
static void first_word(const char *text, const char *ends, char *word, size_t room)
{
    size_t length = 0;

    while (*text && isspace((unsigned char) *text))
    {
        text++;
    }
    while (text[length] && !isspace((unsigned char) text[length]) && !strchr(ends, text[length]) && length + 1 < room)
    {
        word[length] = text[length];
        length++;
    }
    word[length] = '\0';
}

/* The rest of the line "KEY: ..." of ha.cfg into *value* of MOST bytes; 0 when there is none. */
static int setting(const char *text, const char *key, char *value)
{
    const char *line = strstr(text, key);
    size_t length = 0;

    value[0] = '\0';
    if (!line)
    {
        return 0;
    }
    line += strlen(key);
    while (*line == ' ')
    {
        line++;
    }
    while (line[length] && line[length] != '\n')
    {
        value[length] = line[length];
        length++;
    }
    value[length] = '\0';
    return length > 0;
}

/* Is *word* in the list "A,B,C"? */
static int listed(const char *word, const char *list)
{
    char item[MOST];

    while (*word && *list)
    {
        const char *next = strchr(list, ',');

        first_word(list, ",", item, sizeof(item));
        if (strcmp(item, word) == 0)
        {
            return 1;
        }
        if (!next)
        {
            break;
        }
        list = next + 1;
    }
    return 0;
}

/* The first hub of ha_info.json that is in the cluster and not *own*, into *address*; empty when there is none. */
static void other_hub(const char *work, const char *own, char *address, size_t room)
{
    char path[MOST], text[MOST];
    const char *at = text;

    address[0] = '\0';
    snprintf(path, sizeof(path), "%s/masterfiles/cfe_internal/enterprise/ha/ha_info.json", work);
    slurp(path, text);
    while ((at = strstr(at, "\"internal_ip\"")))
    {
        const char *begin = at;
        char *end = strchr(at, '}');
        const char *outside;

        at = strchr(at + strlen("\"internal_ip\""), '"');
        if (!at || !end)
        {
            return;
        }
        first_word(at + 1, "\"", address, room);
        while (begin > text && *begin != '{')
        {
            begin--;
        }
        *end = '\0';
        outside = strstr(begin, "\"is_in_cluster\"");
        if (strcmp(address, own) != 0 && !(outside && strstr(outside, "false")))
        {
            return;
        }
        address[0] = '\0';
        at = end + 1;
    }
}

/* state/master_hub.dat holds the address of the active hub; replaced in one step, and only when it changes. */
static void note_master(const char *work, const char *address)
{
    char path[MOST], fresh[MOST], wanted[128], known[MOST];
    FILE *file;

    snprintf(path, sizeof(path), "%s/state/master_hub.dat", work);
    snprintf(fresh, sizeof(fresh), "%s.%d", path, getpid());
    snprintf(wanted, sizeof(wanted), "%s\n", address);
    slurp(path, known);
    if (strcmp(known, wanted) == 0)
    {
        return;
    }
    file = fopen(fresh, "w");
    if (file)
    {
        fwrite(wanted, 1, strlen(wanted), file);
        fclose(file);
        rename(fresh, path);
    }
}

void CheckAndSetHAState__wrapper(int first, int *done, const char *work, void *context, int last)
{
    char path[MOST], config[MOST], active[MOST], passive[MOST], command[MOST], said[MOST], status[256], own[128], hub[128];
    FILE *program;
    size_t length;

    if (first != CANARY || last != CANARY)
    {
        return;
    }
    *done = 1;
    snprintf(path, sizeof(path), "%s/ha.cfg", work);
    if (!slurp(path, config) || !setting(config, "cmp_master:", active) || !setting(config, "cmp_slave:", passive) ||
        !setting(config, "cmd:", command))
    {
        return;
    }
    snprintf(said, sizeof(said), "timeout 10 %s 2>/dev/null </dev/null", command);
    program = popen(said, "r");
    if (!program)
    {
        return;
    }
    length = fread(said, 1, sizeof(said) - 1, program);
    said[length] = '\0';
    pclose(program);
    first_word(said, "", status, sizeof(status));
    snprintf(path, sizeof(path), "%s/policy_server.dat", work);
    slurp(path, said);
    first_word(said, "", own, sizeof(own));
    hub[0] = '\0';
    if (listed(status, active))
    {
        EvalContextClassPutHard(context, "hub_active", TAGS);
        strncpy(hub, own, sizeof(hub));
    }
    else if (listed(status, passive))
    {
        EvalContextClassPutHard(context, "hub_passive", TAGS);
        other_hub(work, own, hub, sizeof(hub));
    }
    if (hub[0])
    {
        EvalContextVariablePutSpecial(context, SCOPE_SYS, "hub_active_ip", hub, TYPE_STRING, TAGS);
        note_master(work, hub);
    }
}
