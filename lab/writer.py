from lab.shell import LabError
def seed(*a, **k):
    pass
def command(o):
    return 0
