"Recipes: what stands in the blocks fits the functions that take it, and the study."
import inspect
import pytest
import study
from dfkd_nb import detr, detr_distill, detr_ladder, distill, fid, gan, inversion, training
from dfkd_nb.recipes import RECIPES, recipe_for
from dfkd_nb.training import teacher_recipe

IMAGES = dict(teacher=training.train_teacher, generator=gan.train_generator, strong=gan.train_generator,
              extractor=fid.train_extractor, student=distill.distill, wild=distill.distill, inversion=inversion.invert)
BOXES = dict(teacher=detr.train_detr, generator=detr_distill.train_scene_generator, student=detr_distill.distill_detr,
             wild=detr_distill.distill_detr, inversion=detr_ladder.invert_objects)

@pytest.mark.parametrize('dataset', RECIPES)
def test_entries_are_arguments(dataset):
    block = dict(RECIPES[dataset])
    large, takes = block.pop('large', {}), BOXES if dataset in study.BOXES else IMAGES
    assert block.pop('figures') is not None and block.keys() == takes.keys() >= large.keys()
    for stage, f in takes.items():
        named = block[stage].keys() | large.get(stage, {}).keys()
        assert named - inspect.signature(f).parameters.keys() <= set()

def test_figures_are_those_of_the_study():
    "Whatever the study expects to be drawn for a data set under the paper's number is the data set's, and no more."
    for dataset, block in RECIPES.items():
        drawn = study.drawn_for({dataset: [0]}, lambda nb: True)
        assert set(block['figures']) == {n for n in drawn if n.startswith(('fig', 'table'))}

def test_recipes_by_their_rule():
    for name in RECIPES.keys() - study.BOXES:
        assert teacher_recipe(name).get('recipe') == ('ours-gpu' if name.startswith('cifar') else None)
    small = teacher_recipe('cifar10', model='vit_reduced_teacher')
    assert small == recipe_for('cifar10', 'teacher', model='vit_reduced_teacher') and 'recipe' not in small
    assert teacher_recipe('cifar10', epochs=3, ema=0.)['ema'] == 0.
    assert teacher_recipe('digits', model='deit_base_patch4_32').get('recipe') is None
    with pytest.raises(ValueError, match='no recipe for'): teacher_recipe('photos')
