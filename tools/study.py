"""The study, said once: what each notebook computes and draws, from which data, and how far a result may lie from ours.

A new notebook takes one entry in NOTEBOOKS. All else reads it here: graph.py (what runs when, and with which
parameters), screen.py (what is said of a result), check_results.py (what a run has to have made), report.py
(tolerances), restore.py (which function made a result) and shipped.py (what travels with the repository). Only
notebooks that compute stages have an entry; the others are executed once, and nothing is expected of them.

Everything is in one of two *lines*: `images` (classification) or `boxes` (detection). A data set is of one line, and
a notebook runs for the data sets of its own."""
from dataclasses import dataclass, field
from fnmatch import fnmatch

@dataclass(frozen=True)
class Stage:
    "A kind of result that has a recipe: a parameter of the notebooks, through which a scale changes its settings."
    name: str                       # as results name it
    made_by: str                    # the function of the package, module.name
    recipe: str                     # the parameter; its entries are arguments of that function
    also: tuple = ()                # entries that are none: the notebook itself reads them
    rung: str = ''                  # where only students of this rung are made so

@dataclass(frozen=True, kw_only=True)
class Notebook:
    "What is to be known of a notebook that computes stages."
    minutes: float                  # roughly a smoke job on one core: what starts first, and the time left; no result
    needs: tuple = ()               # what has to have run before it, for the same data set and seed
    reads: tuple = ()               # whose results, of all seeds, its page reads too
    line: str = 'images'
    makes: tuple = ()               # its stages with recipes; those of other notebooks of its line it takes as well
    rungs: tuple = ()               # its students, by what they learn from …
    matching: tuple = ()            # … detectors each in these ways
    variants: tuple = ()            # its other results, beside the default one
    draws: dict = field(default_factory=dict)       # {data sets (of SETS): figures (fig…) and tables, drawn for them}
    once: bool = False              # drawn for the first data set only
    ships: tuple = ()               # (rung, variant) of its students that a page needs to run alone in minutes
    travels: bool = True            # whether its stages travel with the repository: some are too large

NOTEBOOKS = {       # in the order of their numbers
    '02a_training': Notebook(
        minutes=.9, once=True,
        makes=(Stage('teacher', 'training.train_teacher', 'recipe'),)),
    '03_probes': Notebook(
        minutes=.8, needs=('02a_training',),
        draws={'digits': 'fig01 fig02', 'grey': 'fig03', 'colour': 'fig04'}),
    '04_gan': Notebook(
        minutes=1.6, needs=('03_probes',),
        makes=(Stage('generator', 'gan.train_generator', 'gan_recipe'),),
        draws={'grey': 'fig05 fig06 fig07 table1', 'colour': 'fig08'}),
    '05_fid': Notebook(
        minutes=.5, needs=('04_gan',),
        makes=(Stage('extractor', 'fid.train_extractor', 'extractor_recipe'),),
        variants=('default', 'unguided'),
        draws={'grey': 'table2'}),
    '06_distill': Notebook(
        minutes=2.2, needs=('04_gan',), reads=('07_ablations',),
        makes=(Stage('student', 'distill.distill', 'kd_recipe'),),
        rungs=('real', 'gan', 'noise'),
        draws={'grey': 'fig09 fig10 fig12 table3 table4', 'colour': 'fig11 table5'},
        ships=(('gan', 'default'), ('gan', 'unguided'), ('real', 'default'), ('real', 'no_teacher'),
               ('noise', 'default'))),
    '07_ablations': Notebook(
        minutes=2.4, needs=('06_distill',), reads=('05_fid',),
        variants=('all_losses', 'no_kd', 'no_patch'),       # each loss removed in turn
        draws={'grey': 'fig13'},
        ships=(('gan', 'all_losses'), ('gan', 'no_kd'), ('gan', 'no_patch'))),
    '08_detr': Notebook(
        minutes=1.9, line='boxes',
        makes=(Stage('detr_teacher', 'detr.train_detr', 'recipe'),),
        draws={'boxes': 'fig14 fig15 fig16 fig17 detr_sizes'}),
    '09_detr_distill': Notebook(
        minutes=6.2, needs=('08_detr',), line='boxes',
        makes=(Stage('detr_generator', 'detr_distill.train_scene_generator', 'gan_recipe'),
               Stage('detr_student', 'detr_distill.distill_detr', 'kd_recipe')),
        rungs=('real', 'gan'), matching=('hungarian', 'index'),
        draws={'boxes': 'fig18 fig19'}),
    '09a_drawn': Notebook(
        minutes=.1, needs=('02a_training',), once=True),
    '10_ladder': Notebook(
        minutes=3.4, needs=('03_probes',), reads=('06_distill',),
        makes=(Stage('student', 'distill.distill', 'wild_recipe'),
               Stage('student', 'distill.distill', 'drawn_recipe'),
               Stage('student', 'inversion.invert', 'inversion_recipe', rung='teacher')),
        rungs=('wild', 'teacher', 'drawn'),                 # beyond the paper
        ships=(('wild', 'default'), ('teacher', 'default'), ('drawn', 'default'))),
    '10a_detr_ladder': Notebook(
        minutes=3., needs=('08_detr',), reads=('09_detr_distill',), line='boxes',
        makes=(Stage('detr_objects', 'detr_ladder.invert_objects', 'inversion_recipe'),
               Stage('detr_student', 'detr_distill.distill_detr', 'wild_recipe')),
        rungs=('teacher',), matching=('hungarian',), travels=False),
    '11_deploy': Notebook(
        minutes=.4, needs=('06_distill',)),
}

# The last pass executes each notebook as a page, as soon as all is there that it reads: the results of its own jobs, of
# those that they need and of those in `reads`, for all seeds of its data set. Other pages need no job, but these:
EXAMPLES = {
    **dict.fromkeys(('11a_sources', '12_your_teacher', '12a_plan', '12b_report', '13_cli'), ('04_gan', 'digits')),
    **dict.fromkeys(('12c_your_detector', '13a_cli_detectors'), ('09_detr_distill', 'scenes')),
}
PAGE     = .4                       # roughly the minutes of a page on one core
FIRST    = '02_models'              # the page with the first table: it needs no stage, and is drawn before all else
TABLES   = 'audit', 'unsaid', 'table*', 'detr_sizes'        # names of the paper's tables, which the screen announces

# What the screen says of a stage's result, from its metrics
HEADLINES = {
    'teacher': '{accuracy:.1%}',
    'probes': '{nearest_probe_accuracy:.1%} by the nearest class probe',
    'generator': '{label_agreement:.1%} of its images are of the class asked for',
    'extractor': '{accuracy:.1%}',
    'fid': 'FID {fid:.2f}',
    'student': '{accuracy:.1%}',
    'deploy': '{accuracy_int8:.1%} in int8, {mb_int8:.2f} MB',
    'detr_teacher': 'mAP@50 {map50:.1%}',
    'detr_generator': '{asked_recall:.1%} of its objects are found',
    'detr_objects': '{recognised:.1%} of the objects tried are recognised',
    'detr_student': 'mAP@50 {map50:.1%}',
}

# --- data

BOXES = {'scenes', 'drones'}        # the data sets of the line `boxes`; all others are of the line `images`
SETS = {'digits': {'digits'}, 'grey': {'digits', 'mnist'}, 'colour': {'digits_rgb', 'cifar10'}, 'boxes': BOXES}

# The scale that runs everywhere; the others are YAML files of the same keys. Seeds are whole chains: teacher, probes,
# generator, student.
SMOKE = {
    'plan': {'digits': [0], 'digits_rgb': [0], 'scenes': [0]},              # data set: its seeds
    # notebook: its data sets, where these are not all of the plan's; {data set: n}: for the first n seeds only
    'only': dict.fromkeys(('05_fid', '07_ablations', '09a_drawn', '10_ladder', '11_deploy'), ['digits']),
    # notebook: {parameter: value} or, for one data set only, notebook: {data set: {parameter: value}}
    'parameters': {'06_distill': {'digits_rgb': {'baselines': False}}},
}

# --- what to reach in the scale `smoke`: the least mean over the seeds

ACCURACY = {'teacher': .96, 'real': .93, 'gan': .9}         # on test images of digits: the teacher, students by rung …
BEYOND   = {'wild': .85, 'teacher': .85, 'drawn': .85}      # … and students on the rungs beyond the paper
MAP50    = {'teacher': .8, 'real': .7, 'gan': .5}           # mAP@50 on scenes: the detector, its matched students …
MAP50_BEYOND = {'teacher': .4}                              # … and those of rungs beyond the paper
INT8     = .009                                             # at most what an exported student may lose in int8

# --- how far a metric may lie from the committed one on another machine, in its own unit
# One test image of the 360 is .003; another machine's rounding sends a training down another path, whose end differs
# like another seed's. Measured on two machines, the same seeds: students (n = 14) were .03 apart (root mean square), at
# most .06; teachers (n = 3) at most .02, detectors' mAP@50 (n = 5) at most .05.

TOLERANCE = {
    'accuracy': .04, 'accuracy_valid': .05, 'teacher_accuracy': .04, 'held_out': .15,
    'label_agreement': .12, 'alignment': .10, 'same_answer': .01, 'same_answer_int8': .03,
    'crossings': .3, 'probe_cosine': .10, 'nearest_probe_accuracy': .15, 'own_class_cosine': .10,
    'mass_on_patches': .10, 'balance': .05,
    'diversity': .35, 'loss_d': .3, 'recall': .12, 'precision': .15, 'kid': .03, 'kid_se': .003,
    'map': .10, 'map50': .08, 'map75': .15, 'map_small': .12, 'map_medium': .15, 'map_large': .2,
    'teacher_map50': .08, 'asked_recall': .15, 'recognised': .15, 'kept': .15,
    'latency_change': float('inf'),             # of which only the sign counts
}
# Wider for some results, by stage and by rung or variant (without its number: epoch14 is 'epoch')
WIDER = {
    ('fid', None): {'fid': 2.5, 'diversity': .35},
    ('student', None): {'accuracy': .09, 'agreement': .09},
    ('deploy', None): {'accuracy': .09, 'accuracy_int8': .09},
    ('student', 'noise'): {'accuracy': .35, 'agreement': .35},
    ('student', 'teacher'): {'alignment': .3},
    ('student', 'dafl'): {'accuracy': .35, 'agreement': .35},
    # what no loss holds, and two machines saw far apart: attention without the teacher's, students of unfinished
    # generators
    ('student', 'no_teacher'): {'alignment': .3},
    ('student', 'epoch'): {'accuracy': .35, 'agreement': .35, 'label_agreement': .3},
}
RELATIVE = .25                                  # for every metric not named: a share of its value
FOUND = ('kinds',)                              # what a run finds by itself and says among its settings

# --- what is read from these tables

def line_of(nb):
    "The line of a notebook; those without an entry are of classification."
    return NOTEBOOKS[nb].line if nb in NOTEBOOKS else 'images'

def is_table(name):
    "Whether a table of this name is one of the paper's."
    return any(fnmatch(name, t) for t in TABLES)

def recipes(line):
    "{recipe: its stage} of all notebooks of a line."
    return {s.recipe: s for n in NOTEBOOKS.values() if n.line == line for s in n.makes}

def made_by(stage, rung=None):
    "The function that makes such a result, as module.name; raises `KeyError` for a stage without a recipe."
    found = [s for n in NOTEBOOKS.values() for s in n.makes if s.name == stage and s.rung in ('', rung)]
    if not found: raise KeyError(stage)
    return max(found, key=lambda s: s.rung).made_by         # one for this rung alone comes before one for all

def drawn_for(plan, runs):
    "Figures and tables that a plan has a data set for, of the notebooks of which `runs(name)` is true."
    return [name for nb, n in NOTEBOOKS.items() if runs(nb)
            for sets, names in n.draws.items() if SETS[sets] & plan.keys() for name in names.split()]
